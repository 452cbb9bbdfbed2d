//! The example `chat` in browsers: messages arrive, and a page that reconnects after a while has
//! every message once.

use crate::*;

#[path = "../../../examples/chat/main.rs"]
#[allow(dead_code)]
mod example;

/// A server with its own hub, like that of another process.
struct Server {
    address: SocketAddr,
    hub: Hub,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Server {
    async fn start(address: SocketAddr, hub: Hub) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        // The pages reconnect after 50 ms.
        let soon = Retry::fixed(Duration::from_millis(50));
        let layer = SseLayer::new().drain(Drain::per_client().retry(soon)).retry(soon);
        let app = example::app(hub.clone(), layer.shutdown(shutdown.clone()));
        let serving = example::serve(listener, app, shutdown.clone());
        let serving = tokio::spawn(async move { serving.await.unwrap() });
        Self { address, hub, shutdown, serving }
    }

    async fn shut_down(self) {
        self.shutdown.cancel();
        soon(self.serving).await.unwrap();
    }

    fn page(&self, name: &str) -> String {
        format!("http://{}/?room=kitchen&name={name}", self.address)
    }

    async fn post(&self, to: Value, texts: impl IntoIterator<Item = impl ToString>) {
        for text in texts {
            let message = json!({ "from": "eve", "to": to, "text": text.to_string() });
            let headers = [("content-type", "application/json")];
            let answer = post(self.address, "/messages", &headers, message.to_string()).await;
            assert_eq!(answer.status(), StatusCode::ACCEPTED);
        }
    }

    async fn until_all_have_left(&self) {
        let left = async {
            while self.hub.subscriber_count("all") > 0 {
                yield_now().await;
            }
        };
        soon(left).await;
    }
}

fn room() -> Value {
    json!({ "room": "kitchen" })
}

fn with(texts: impl IntoIterator<Item = u64>) -> Hub {
    let hub = Hub::new();
    for text in texts {
        let text = text.to_string();
        let data = json!({ "from": "eve", "to": room(), "text": text, "at": 0 }).to_string();
        _ = hub.publish_now("room:kitchen", Event::from(data)).unwrap();
    }
    hub
}

fn numbers(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers.into_iter().map(|number| number.to_string()).collect()
}

async fn shown(browser: &Chromium, count: usize) -> Vec<String> {
    let texts = "[...document.querySelectorAll('#log .text')].map(text => text.textContent)";
    strings(browser.until(&format!("(all => all.length >= {count} && all)({texts})")).await)
}

/// Returns the texts that the page's streams have delivered since it was loaded.
async fn received(browser: &Chromium) -> Vec<String> {
    strings(browser.until("chat.received").await)
}

fn strings(array: Value) -> Vec<String> {
    serde_json::from_value(array).unwrap()
}

async fn write(browser: &Chromium, text: &str) {
    browser
        .until(&format!("(document.querySelector('#text').value = {}, true)", json!(text)))
        .await;
    browser.click("#composer > button").await;
}

#[tokio::test]
async fn two_browsers_talk_in_a_room_and_in_private() {
    let Some(tools) = Tools::find() else { return };
    let server = Server::start(ANY, Hub::new()).await;
    let (ann, bob) = tokio::join!(Chromium::start(&tools), Chromium::start(&tools));
    ann.open(&format!("http://{}/?room=kitchen&name=a:b", server.address)).await;
    // The page asks again if the name is invalid.
    ann.until("!document.querySelector('#join').hidden && (document.querySelector('#join [name=name]').value = ' ann ')").await;
    ann.click("#join button").await;
    ann.until("document.activeElement === document.querySelector('#text')").await;
    bob.open(&server.page("bob")).await;
    for browser in [&ann, &bob] {
        browser
            .until("window.chat?.opened && document.querySelector('#state').textContent === 'open'")
            .await;
    }

    let markup = "<img src=x onerror='document.title = 1'> & <b>tea</b>?";
    write(&ann, markup).await;
    for browser in [&ann, &bob] {
        assert_eq!(shown(browser, 1).await, [markup]);
        browser.until("!document.querySelector('#log .text *')").await;
    }
    bob.click("#log .from").await;
    write(&bob, "yes\nplease").await;
    for (browser, about) in [(&bob, "only to ann"), (&ann, "only to you")] {
        assert_eq!(shown(browser, 2).await, [markup, "yes\nplease"]);
        browser
            .until(&format!(
                "document.querySelector('#log .private .to').textContent === '{about}'"
            ))
            .await;
    }

    // An absent receiver gets the message later; a rejected text is reported and stays for
    // correction.
    bob.until("document.querySelector('#user').value = 'cyd'").await;
    write(&bob, "later").await;
    bob.until("document.querySelector('#sent').textContent === 'cyd receives it when connected'")
        .await;
    bob.until("document.querySelector('#user').value = 'c:d'").await;
    write(&bob, "never").await;
    bob.until("document.querySelector('#sent').matches('.bad') && document.querySelector('#sent').textContent.includes('letters, digits')")
        .await;
    assert_eq!(bob.until("document.querySelector('#text').value").await, "never");
    bob.choose("#whom", "all").await;
    write(&bob, "over").await;
    assert_eq!(shown(&ann, 3).await, [markup, "yes\nplease", "over"]);
    assert_eq!(shown(&bob, 4).await, [markup, "yes\nplease", "later", "over"]);
}

#[tokio::test]
async fn page_that_returns_has_every_message_once_and_in_order() {
    let Some(tools) = Tools::find() else { return };
    let server = Server::start(ANY, Hub::new()).await;
    let browser = Chromium::start(&tools).await;
    let page = server.page("ann");
    browser.open(&page).await;
    browser.until("chat.opened").await;
    server.post(room(), 1..=3).await;
    assert_eq!(shown(&browser, 3).await, numbers(1..=3));

    browser.open("about:blank").await;
    server.until_all_have_left().await;
    server.post(room(), 4..=5).await;
    server.post(json!({ "user": "ann" }), [6]).await;
    browser.open(&page).await;
    assert_eq!(shown(&browser, 6).await, numbers(1..=6));
    // Any duplicate would have arrived before this message.
    server.post(json!("all"), [7]).await;
    assert_eq!(shown(&browser, 7).await, numbers(1..=7));
    assert_eq!(received(&browser).await, numbers(4..=7));

    // Without new messages there is nothing to send.
    browser.open(&page).await;
    browser.until("chat.opened").await;
    server.post(room(), [8]).await;
    assert_eq!(shown(&browser, 8).await, numbers(1..=8));
    assert_eq!(received(&browser).await, numbers([8]));

    // The back button restores the page as it was left, or loads it again; the browser decides.
    browser.open("about:blank").await;
    server.until_all_have_left().await;
    server.post(room(), [9]).await;
    browser.until("(setTimeout(() => history.back()), true)").await;
    browser.until("window.chat?.received.includes('9')").await;
    server.post(room(), [10]).await;
    assert_eq!(shown(&browser, 10).await, numbers(1..=10));
    browser.until("chat.gaps === 0 && !document.querySelector('#log .divider')").await;
}

/// Waits until the log shows exactly these lines: the texts, and a `|` for each divider.
async fn until_log(browser: &Chromium, expected: &[&str]) {
    let lines = "[...document.querySelector('#log').children].map(line => line.querySelector('.text')?.textContent ?? '|')";
    browser.until(&format!("{lines}.join() === {}", json!(expected.join(",")))).await;
}

#[tokio::test]
async fn page_whose_server_was_restarted_keeps_its_messages_above_a_divider() {
    let Some(tools) = Tools::find() else { return };
    let first = Server::start(ANY, Hub::new()).await;
    let (address, page) = (first.address, first.page("ann"));
    let browser = Chromium::start(&tools).await;
    browser.open(&page).await;
    browser.until("chat.opened").await;
    first.post(room(), 1..=2).await;
    until_log(&browser, &["1", "2"]).await;
    first.shut_down().await;
    write(&browser, "unsent").await;
    browser.until("document.querySelector('#sent').matches('.bad')").await;

    // The browser reconnects by itself, with an id that the second server never issued.
    let second = Server::start(address, with(11..=13)).await;
    until_log(&browser, &["1", "2", "|", "11", "12", "13"]).await;
    let words = browser.until("document.querySelector('#log .divider').textContent").await;
    assert!(words.as_str().unwrap().starts_with("Messages may be missing here"), "{words}");
    browser.until("document.querySelector('#sent').textContent === '' && document.querySelector('#text').value === 'unsent'").await;
    second.post(json!("all"), [14]).await;
    until_log(&browser, &["1", "2", "|", "11", "12", "13", "14"]).await;
    assert_eq!(received(&browser).await, numbers([1, 2, 11, 12, 13, 14]));

    // This time, the page is left and opened again, and its script sends the id.
    browser.open("about:blank").await;
    second.until_all_have_left().await;
    second.shut_down().await;
    let third = Server::start(address, with(21..=22)).await;
    browser.open(&page).await;
    third.post(room(), [23]).await;
    let all = ["1", "2", "|", "11", "12", "13", "14", "|", "21", "22", "23"];
    until_log(&browser, &all).await;
    assert_eq!(received(&browser).await, numbers(21..=23));

    browser.open(&page).await;
    browser.until("chat.opened").await;
    third.post(room(), [24]).await;
    until_log(&browser, &[&all[..], &["24"]].concat()).await;
    assert_eq!(received(&browser).await, numbers([24]));
    browser.until("chat.gaps === 0").await;
}
