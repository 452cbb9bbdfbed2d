//! Events of the layers behind an early head, which repeat the id that the client brought.

use super::*;

fn with_id(client: Requester) -> Request<AxumBody> {
    let mut request = client.request("/");
    request.headers_mut().insert("last-event-id", HeaderValue::from_static("7"));
    request
}

async fn receive_with_id(app: &Router, client: Requester) -> String {
    read(send(app, with_id(client)).await.into_body()).await.0
}

fn unauthorized() -> AxumResponse {
    StatusCode::UNAUTHORIZED.into_response()
}

#[tokio::test(start_paused = true)]
async fn heartbeats_before_the_answer_repeat_the_id() {
    let ping = SseLayer::new().heartbeat(Heartbeat::every(15 * SECOND).event("ping", "{}"));
    let app = slow(LATE, events).layer(early()).layer(ping.without_retry());
    let ping = "event: ping\ndata: {}\nid: 7\n\n";
    for client in Requester::ALL {
        assert_eq!(receive_with_id(&app, client).await, ping.repeat(4) + EVENTS, "{client:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn late_event_repeats_the_id_unless_it_has_one() {
    let layer = || SseLayer::new().without_retry().without_heartbeat();
    let event = || Event::new().event("failed").data("401");
    let late = early().late_event(move |_| Some(event()));
    let own = early().late_event(move |_| Some(event().id("own")));
    let answer = late.clone();
    let answers = Router::new().fallback(any(move || {
        answer.answer(async {
            sleep(LATE).await;
            unauthorized()
        })
    }));
    for (app, id) in [
        (slow(LATE, unauthorized).layer(late), "7"),
        (slow(LATE, unauthorized).layer(own), "own"),
        (answers, "7"),
    ] {
        let expected = format!(": \nevent: failed\ndata: 401\nid: {id}\n\n");
        assert_eq!(receive_with_id(&app.layer(layer()), Requester::Library).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn end_of_a_late_answer_repeats_the_id() {
    let layer = SseLayer::new().without_retry().without_heartbeat().terminator("[DONE]");
    let layer = layer.on_error(|_| Event::new().event("failed").data("500"));
    let silent = || tower_sse::response(stream::empty::<Event>()).into_response();
    let failed = || StatusCode::INTERNAL_SERVER_ERROR.into_response();
    for (app, last) in [
        (slow(LATE, silent), "data: [DONE]\nid: 7\n\n"),
        (slow(LATE, failed), "event: failed\ndata: 500\nid: 7\n\n"),
    ] {
        let app = app.layer(early()).layer(layer.clone());
        assert_eq!(receive_with_id(&app, Requester::Library).await, format!(": \n{last}"));
    }
}
