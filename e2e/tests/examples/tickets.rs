//! Tickets in the query. Each test is about a mistake that programs with tickets make.

use axum::{body::Body, response::Response};

use crate::*;

#[path = "../../../examples/tickets/main.rs"]
#[allow(dead_code)]
mod example;

const LIFETIME: Duration = Duration::from_secs(30);

fn app() -> Router {
    example::routes(Hub::new()).layer(SseLayer::new())
}

async fn send(app: &Router, method: &str, uri: &str, token: &str, text: &'static str) -> Response {
    let request = Request::builder().method(method).uri(uri);
    let request = request.header("authorization", format!("Bearer {token}"));
    app.clone().oneshot(request.body(Body::from(text)).unwrap()).await.unwrap()
}

async fn issue(app: &Router, user: &str) -> String {
    let answer = send(app, "POST", "/tickets", user, "").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let ticket = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(ticket.into()).unwrap()
}

/// Opens a stream, with the token of a user who does not own the ticket.
async fn open(app: &Router, ticket: &str) -> Response {
    send(app, "GET", &format!("/events?ticket={ticket}&user=bob"), "bob", "").await
}

#[tokio::test]
async fn ticket_opens_one_stream() {
    let app = app();
    let ticket = issue(&app, "ann").await;
    let answers = join_all((0..20).map(|_| open(&app, &ticket))).await;
    let opened = answers.iter().filter(|answer| answer.status() == StatusCode::OK).count();
    assert_eq!(opened, 1);
    assert_eq!(open(&app, &ticket).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn nothing_prolongs_the_lifetime_of_a_ticket() {
    let app = app();
    let [ticket, late] = [issue(&app, "ann").await, issue(&app, "ann").await];
    sleep(LIFETIME - Duration::from_secs(1)).await;
    // Neither another ticket nor the use of one prolongs the lifetime of `late`.
    issue(&app, "ann").await;
    assert_eq!(open(&app, &ticket).await.status(), StatusCode::OK);
    assert_eq!(open(&app, &ticket).await.status(), StatusCode::UNAUTHORIZED);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(open(&app, &late).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn ticket_opens_the_stream_of_its_user() {
    let app = app();
    let stream = open(&app, &issue(&app, "ann").await).await;
    let mut events = EventReader::new(stream);
    for (user, text) in [("bob", "for bob"), ("ann", "for ann")] {
        let answer = send(&app, "POST", "/messages", user, text).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(events.next().await.unwrap().data, "for ann");
}

#[tokio::test]
async fn tickets_need_a_user_and_streams_a_ticket() {
    let app = app();
    let answer = send(&app, "POST", "/tickets", "", "").await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    for uri in ["/events", "/events?ticket=", "/events?ticket=guessed"] {
        let answer = send(&app, "GET", uri, "ann", "").await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{uri}");
    }
}
