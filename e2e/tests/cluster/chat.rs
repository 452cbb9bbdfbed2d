//! The example `chat_cluster`: a page moves between processes and has every message once.

use std::net::{SocketAddr, TcpStream};

use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::json;

use crate::*;

/// What a process prints for each page that connects.
const PAGE: &str = "a page has connected";

/// Posts these texts to a process, one after another.
async fn post(address: SocketAddr, texts: impl IntoIterator<Item = u64>) {
    for text in texts {
        let to = json!({ "room": "kitchen" });
        let message = json!({ "from": "eve", "to": to, "text": text.to_string() });
        let json = [("content-type", "application/json")];
        let answer = client::post(address, "/messages", &json, message.to_string()).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
    }
}

/// Waits until the page shows these texts and nothing else.
async fn until_shown(browser: &Chromium, count: u64) {
    let expected: Vec<_> = (1..=count).map(|text| text.to_string()).collect();
    let lines = "[...$('#log').children].map(line => line.querySelector('.text')?.textContent)";
    browser.until(&format!("{lines}.join() === {}", json!(expected.join(",")))).await;
    browser.until(&format!("chat.received.join() === {}", json!(expected.join(",")))).await;
}

#[tokio::test]
async fn page_whose_process_is_killed_moves_to_the_other_and_has_every_message_once() {
    let Some(tools) = Tools::find() else { return };
    let Some(mut script) = Script::start("chat_cluster").await else { return };
    let browser = Chromium::start(&tools).await;
    let address = script.address();
    browser.open(&format!("http://{address}/?room=kitchen&name=ann")).await;
    browser.until("chat.opened").await;
    until(|| script.count("one", PAGE) + script.count("two", PAGE) == 1).await;
    let names = if script.count("one", PAGE) == 1 { ["one", "two"] } else { ["two", "one"] };
    let [first, other] = names;

    post(script.address_of(other), 1..=10).await;
    until_shown(&browser, 10).await;
    script.kill(first);
    // The page is away for a second, and misses these at first.
    post(script.address_of(other), 11..=30).await;
    until(|| script.count(other, PAGE) == 1).await;
    until_shown(&browser, 30).await;

    // The script starts the process again, which has loaded the history when it listens.
    until(|| script.starts_of(first) == 2).await;
    script.kill(other);
    post(script.address_of(first), 31..=60).await;
    until(|| script.count(first, PAGE) == 2).await;
    until_shown(&browser, 60).await;
    browser.until("chat.opened === 3 && chat.gaps === 0").await;

    // Without any process, nginx sends the page away until there is one.
    script.pause();
    script.kill("one");
    script.kill("two");
    let answer = client::get(address, "/events?room=kitchen&name=bob", &[]).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "retry: 1000\n\n");
    browser.until("$('#state').textContent === 'reconnecting'").await;
    script.resume();
    until(|| script.starts_of(first) == 3).await;
    post(script.address_of(first), 61..=70).await;
    until_shown(&browser, 70).await;
    browser.until("chat.gaps === 0").await;

    script.stop();
    for address in [address, script.address_of("one"), script.address_of("two")] {
        assert!(TcpStream::connect(address).is_err(), "{address} is still open");
    }
}

/// Returns the lines of the function `main`.
fn main_of(source: &str) -> Vec<&str> {
    let (_, main) = source.split_once("async fn main() ").expect("a main");
    let (main, _) = main.split_once("\n}\n").expect("its end");
    main.lines().collect()
}

#[test]
fn main_differs_from_that_of_the_chat_by_one_line() {
    let cluster = include_str!("../../../examples/chat_cluster/main.rs").replace("chat::", "");
    let cluster = main_of(&cluster);
    let chat = main_of(include_str!("../../../examples/chat/main.rs"));
    assert_eq!(chat.len(), cluster.len());
    let different: Vec<_> = chat.iter().zip(&cluster).filter(|(one, other)| one != other).collect();
    assert_eq!(different.len(), 1, "{different:?}");
}
