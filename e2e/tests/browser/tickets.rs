//! The page of the example `tickets`, across a restart and without a valid token.

use axum::middleware::{Next, from_fn_with_state};
use axum::{extract::Request, response::Response};

use crate::*;

#[path = "../../../examples/tickets/main.rs"]
#[allow(dead_code)]
mod example;

/// The requests for tickets and streams, with the status of each answer.
#[derive(Clone, Default)]
struct Requests(Arc<Mutex<Vec<String>>>);

impl Requests {
    fn routes(&self, hub: &Hub) -> Router {
        example::routes(hub.clone()).layer(from_fn_with_state(self.clone(), record))
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

async fn record(State(requests): State<Requests>, request: Request, next: Next) -> Response {
    let line = format!("{} {}", request.method(), request.uri().path());
    let response = next.run(request).await;
    if ["POST /tickets", "GET /events"].contains(&&*line) {
        requests.0.lock().unwrap().push(format!("{line} {}", response.status().as_u16()));
    }
    response
}

async fn start(at: std::net::SocketAddr, name: &'static str, routes: Router) -> Server {
    Server::start(at, layer(name).last_event_id_query("last"), routes).await
}

async fn log_in(browser: &Chromium, server: &Server, token: &str) {
    browser.open(&format!("http://{}/", server.address)).await;
    browser.until(&format!("($('log-in').token.value = {}, true)", json!(token))).await;
    browser.click("#log-in button").await;
}

async fn shows(browser: &Chromium, texts: &[&str]) {
    let rows = "[...document.querySelectorAll('#list li')].map(row => row.textContent)";
    browser.until(&format!("JSON.stringify({rows}) === {}", json!(json!(texts).to_string()))).await;
}

async fn publish(hub: &Hub, text: &'static str) {
    hub.publish("user:ann", text).await.unwrap();
}

#[tokio::test]
async fn page_resumes_with_a_new_ticket_only_after_a_401() {
    let Some(tools) = Tools::find() else { return };
    let (hub, requests) = (Hub::new(), Requests::default());
    let first = start(ANY, "first", requests.routes(&hub)).await;
    let address = first.address;
    let browser = Chromium::start(&tools).await;
    log_in(&browser, &first, "ann").await;
    until(|| hub.subscriber_count("user:ann") == 1).await;
    publish(&hub, "one").await;
    publish(&hub, "two").await;
    shows(&browser, &["one", "two"]).await;

    first.drain();
    // The page reconnects, and is refused with a new ticket.
    until(|| first.stats.snapshot().refused > 0).await;
    first.shut_down().await;
    publish(&hub, "three").await;
    let _second = start(address, "second", requests.routes(&hub)).await;
    shows(&browser, &["one", "two", "three"]).await;
    publish(&hub, "four").await;
    shows(&browser, &["one", "two", "three", "four"]).await;

    let all = requests.all();
    assert_eq!(all[..2], ["POST /tickets 200", "GET /events 200"]);
    for (index, request) in all.iter().enumerate().skip(1) {
        if request == "POST /tickets 200" {
            assert_eq!(all[index - 1], "GET /events 401", "{all:?}");
        }
    }
    assert!(all.iter().filter(|request| *request == "POST /tickets 200").count() > 1, "{all:?}");
}

#[tokio::test]
async fn page_asks_for_a_log_in_when_its_token_is_refused() {
    let Some(tools) = Tools::find() else { return };
    let requests = Requests::default();
    let server = start(ANY, "server", requests.routes(&Hub::new())).await;
    let browser = Chromium::start(&tools).await;
    log_in(&browser, &server, "").await;
    browser.until("$('send').hidden && !$('log-in').hidden").await;
    until(|| requests.all() == ["POST /tickets 401"]).await;
}

#[tokio::test]
async fn page_of_another_user_shows_nothing_of_the_first_one() {
    let Some(tools) = Tools::find() else { return };
    let hub = Hub::new();
    let server = start(ANY, "server", Requests::default().routes(&hub)).await;
    let browser = Chromium::start(&tools).await;
    log_in(&browser, &server, "ann").await;
    until(|| hub.subscriber_count("user:ann") == 1).await;
    publish(&hub, "one").await;
    shows(&browser, &["one"]).await;
    let form = "$('log-in')";
    browser.until(&format!("({form}.token.value = 'bob', {form}.requestSubmit(), true)")).await;
    let count = |user| hub.subscriber_count(user);
    until(|| (count("user:ann"), count("user:bob")) == (0, 1)).await;
    shows(&browser, &[]).await;
}
