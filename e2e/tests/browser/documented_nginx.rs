//! The configuration of nginx on the page `guide::proxies`, and the one of the examples with
//! several processes, which has the same answer for clients that find no server.

use http_body_util::BodyExt;

use crate::*;

/// Returns the lines of the page's configuration.
fn documented() -> String {
    let page = include_str!("../../../docs/guide/proxies.md");
    let (_, after) = page.split_once("```nginx\n").expect("a configuration of nginx");
    let (lines, _) = after.split_once("```\n").expect("its end");
    lines.to_owned()
}

fn replace(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from}");
    text.replace(from, to)
}

#[tokio::test]
async fn event_source_survives_a_time_without_servers() {
    let (Some(tools), Some(nginx)) = (Tools::find(), find_nginx()) else { return };
    let log = Log::start();
    let app = |server| log.routes(server).merge(page(None));
    let first = Server::start(ANY, layer("first"), app("first")).await;
    let address = first.address;
    let upstream = replace(&documented(), "127.0.0.1:3000", &address.to_string());
    let serve =
        |listen: std::net::SocketAddr| replace(&upstream, "listen 80", &format!("listen {listen}"));
    let nginx = Nginx::start_serving(&nginx, serve).await;
    let browser = Chromium::start(&tools).await;
    browser.listen(nginx.address, &[EVENT_SOURCE]).await;
    browser.until_each(&[EVENT_SOURCE], "it.events.length > 20").await;

    first.shut_down().await;
    let answer = client::get(nginx.address, "/events", &[]).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "retry: 1000\n\n");
    assert_eq!(client::get(nginx.address, "/", &[]).await.status(), 502, "other clients notice");
    let posted = client::post(nginx.address, "/events", &[], String::new()).await;
    assert_eq!(posted.status(), 503, "it is not taken for accepted");
    // An empty stream opens and ends.
    browser.until_each(&[EVENT_SOURCE], "it.opened > 2").await;

    let second = Server::start(address, layer("second"), app("second")).await;
    let now = log.last();
    browser.until_each(&[EVENT_SOURCE], &format!("it.events.at(-1)[0] > {now}")).await;
    let seen = browser.seen(EVENT_SOURCE).await;
    seen.misses_and_doubles_nothing(EVENT_SOURCE);
    assert_eq!(seen.servers(), ["first", "second"]);
    drop(second);
}

#[test]
fn example_answers_in_the_same_way() {
    let (example, documented) =
        (include_str!("../../../examples/cluster/nginx.conf"), documented());
    let (_, answer) = documented.split_once("error_page").expect("an answer");
    for line in format!("error_page{answer}").lines().map(str::trim).filter(|line| *line != "}") {
        assert!(example.lines().any(|of_example| of_example.trim() == line), "{line}");
    }
}
