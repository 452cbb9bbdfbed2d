//! The example `runs` in a browser: as long as the process lives, the handler is called once for a
//! question, and the page has every word once, whatever happens to its connections.

use self::example::Demo;
use self::example::model::{ANSWER, Model};
use crate::*;

#[path = "../../../examples/runs/main.rs"]
#[allow(dead_code)]
mod example;

const WORDS: usize = 80;

/// The example's server, whose model generates a token only when the test allows it.
struct Server {
    address: SocketAddr,
    runs: Runs,
    quota: Arc<Semaphore>,
    ends: mpsc::UnboundedReceiver<RunEnd>,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Server {
    async fn start(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let quota = Arc::new(Semaphore::new(0));
        let model = Model { pace: Duration::ZERO, quota: Arc::clone(&quota) };
        let (ended, ends) = mpsc::unbounded_channel();
        let on_end = move |end: &RunEnd| _ = ended.send(end.clone());
        let demo = Demo::new(model, Runs::builder().on_end(on_end).build(), Hub::new());
        let runs = demo.runs.clone();
        let shutdown = CancellationToken::new();
        let serving = example::serve(listener, demo, shutdown.clone());
        let serving = tokio::spawn(async move { serving.await.unwrap() });
        Self { address, runs, quota, ends, shutdown, serving }
    }

    /// Lets the model generate words, and waits until the page shows `total` words, none of them
    /// missing or duplicate.
    async fn say(&self, browser: &Chromium, words: usize, total: usize) {
        self.quota.add_permits(words);
        shows(browser, "document", total).await;
    }

    async fn end(&mut self) -> RunEnd {
        soon(self.ends.recv()).await.expect("the end of a run")
    }
}

fn beginning(words: usize) -> String {
    ANSWER.split_inclusive(' ').take(words).collect()
}

/// Waits until a document shows exactly the first `words` words of the answer.
async fn shows(browser: &Chromium, document: &str, words: usize) {
    let text = json!(beginning(words));
    browser.until(&format!("{document}.querySelector('#answer')?.textContent === {text}")).await;
}

async fn until_state(browser: &Chromium, state: &str) {
    browser.until(&format!("window.demo?.state === '{state}'")).await;
}

async fn until_connections(browser: &Chromium, connections: u64) {
    browser.until(&format!("demo.bill?.connections >= {connections}")).await;
}

/// Cuts all connections to the answer, in the middle of the event that comes next.
async fn cut_network(browser: &Chromium) {
    browser.until("((demo.cuts = 0), true)").await;
    browser.click("#cut").await;
    browser.until("demo.cuts === 1").await;
}

async fn figures(browser: &Chromium) -> (Value, String) {
    let bill = browser.until("demo.bill").await;
    let text = browser.until("document.querySelector('#figures').textContent").await;
    (bill, text.as_str().unwrap().to_owned())
}

async fn ask() -> Option<(Server, Chromium)> {
    let tools = Tools::find()?;
    let server = Server::start(ANY).await;
    let browser = Chromium::start(&tools).await;
    browser.open(&format!("http://{}/", server.address)).await;
    until_state(&browser, "idle").await;
    browser.click("#ask").await;
    Some((server, browser))
}

#[tokio::test]
async fn answer_survives_its_connections_and_is_paid_for_once() {
    let Some((mut server, browser)) = ask().await else { return };
    server.say(&browser, 10, 10).await;
    until_connections(&browser, 1).await;

    for cut in 1..=3 {
        cut_network(&browser).await;
        server.say(&browser, 5, 10 + 5 * cut).await;
        until_connections(&browser, 1 + cut as u64).await;
    }
    browser.until("window.isOld = true").await;
    browser.click("#reload").await;
    browser.until("!window.isOld && window.demo?.state === 'answering'").await;
    server.say(&browser, 10, 35).await;

    browser.click("#tab").await;
    shows(&browser, "demo.tab?.document", 35).await;
    cut_network(&browser).await;
    server.say(&browser, 15, 50).await;
    shows(&browser, "demo.tab.document", 50).await;
    server.say(&browser, 30, WORDS).await;
    for page in ["window", "demo.tab"] {
        browser.until(&format!("{page}.demo.state === 'complete'")).await;
        shows(&browser, &format!("{page}.document"), WORDS).await;
    }

    let end = server.end().await;
    assert_eq!((end.outcome, end.events), (Outcome::Completed, WORDS as u64));
    let (bill, text) = figures(&browser).await;
    assert_eq!((&bill["calls"], &bill["tokens"]), (&json!(1), &json!(WORDS)));
    let connections = bill["connections"].as_u64().unwrap();
    // One connection each for the question, three cuts, the reloaded page and the second tab, and
    // two for a cut of both tabs.
    assert!(connections >= 8, "{connections}");
    let expected = format!("handler called 1 time · connections {connections} · words {WORDS}");
    assert_eq!(text, expected);
    browser.until("(demo.tab.close(), true)").await;

    // A page that is loaded after the end has the whole answer, and no other visitor has any of it.
    let path = browser.until("`/answers/${location.hash.slice(1)}`").await;
    let stranger = [("cookie", "visitor=other")];
    let answer = get(server.address, path.as_str().unwrap(), &stranger).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    browser.click("#reload").await;
    browser.until("window.demo && !demo.tab").await;
    until_state(&browser, "complete").await;
    shows(&browser, "document", WORDS).await;
    assert_eq!(figures(&browser).await.0["calls"], 1);
    assert_eq!(server.runs.stats().started, 1);
}

#[tokio::test]
async fn stop_ends_the_answer_on_every_page_but_not_the_next_one() {
    let Some((mut server, browser)) = ask().await else { return };
    server.say(&browser, 7, 7).await;
    browser.click("#tab").await;
    shows(&browser, "demo.tab?.document", 7).await;
    browser.until("demo.tab.document.querySelector('#stop').click() ?? true").await;
    for page in ["window", "demo.tab"] {
        browser.until(&format!("{page}.demo.state === 'stopped'")).await;
        shows(&browser, &format!("{page}.document"), 7).await;
    }
    browser.until("(demo.tab.close(), true)").await;
    let end = server.end().await;
    assert_eq!((end.outcome, end.events), (Outcome::Cancelled, 7));

    // The model of the stopped answer takes no more permits, so the next answer gets all of them.
    browser.click("#ask").await;
    server.say(&browser, WORDS, WORDS).await;
    until_state(&browser, "complete").await;
    let end = server.end().await;
    assert_eq!((end.outcome, end.events), (Outcome::Completed, WORDS as u64));
    assert_eq!(server.quota.available_permits(), 0);
    assert_eq!(figures(&browser).await.0["calls"], 1);
}

#[tokio::test]
async fn shutdown_waits_for_the_answer_which_is_not_asked_for_again() {
    let Some((mut server, browser)) = ask().await else { return };
    server.say(&browser, 10, 10).await;
    server.shutdown.cancel();
    server.say(&browser, WORDS - 10, WORDS).await;
    until_state(&browser, "complete").await;
    assert_eq!(server.end().await.outcome, Outcome::Completed);
    soon(server.serving).await.unwrap();
    // The page comes back from the browser's cache.
    browser.until("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))").await;
    shows(&browser, "document", WORDS).await;

    let restarted = Server::start(server.address).await;
    browser.click("#reload").await;
    until_state(&browser, "lost").await;
    assert_eq!(restarted.runs.stats().started, 0);
    assert_eq!(figures(&browser).await.0["calls"], 0);
}
