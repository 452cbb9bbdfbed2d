//! The example `notifications` in a browser, with a database whose queries the test delays.

use std::sync::atomic::AtomicBool;

use self::example::database::{Answer, Database, Memory, Notification, User};
use crate::relay::Relay;
use crate::*;

#[path = "../../../examples/notifications/main.rs"]
#[allow(dead_code)]
mod example;

/// A database whose query of unread notifications waits twice: before it reads, and before it
/// answers. While it's gone, queries fail.
#[derive(Clone)]
struct Slow {
    memory: Memory,
    waiting: Arc<Semaphore>,
    go: Arc<Semaphore>,
    is_gone: Arc<AtomicBool>,
    failed: Arc<AtomicUsize>,
}

impl Slow {
    fn new() -> Self {
        let [waiting, go] = [(); 2].map(|()| Arc::new(Semaphore::new(0)));
        let (is_gone, failed) = Default::default();
        Self { memory: Memory::default(), waiting, go, is_gone, failed }
    }

    async fn pause(&self) {
        self.waiting.add_permits(1);
        self.go.acquire().await.unwrap().forget();
    }

    async fn until_paused(&self) {
        soon(self.waiting.acquire()).await.unwrap().forget();
    }

    fn resume(&self) {
        self.go.add_permits(1);
    }

    fn check(&self) -> Answer<()> {
        if self.is_gone.load(SeqCst) {
            self.failed.fetch_add(1, SeqCst);
            return Err("the database is gone".into());
        }
        Ok(())
    }
}

impl Database for Slow {
    async fn add_session(&self, session: &str, user: User) -> Answer<()> {
        self.memory.add_session(session, user).await
    }

    async fn delete_session(&self, session: &str) -> Answer<()> {
        self.memory.delete_session(session).await
    }

    async fn user_of(&self, session: &str) -> Answer<Option<User>> {
        self.check()?;
        self.memory.user_of(session).await
    }

    async fn add(&self, topic: &str, text: String) -> Answer<Notification> {
        self.memory.add(topic, text).await
    }

    async fn mark_read(&self, user: &User, id: u64) -> Answer<()> {
        self.memory.mark_read(user, id).await
    }

    async fn unread(&self, user: &User) -> Answer<Vec<Notification>> {
        self.check()?;
        self.pause().await;
        let unread = self.memory.unread(user).await;
        self.pause().await;
        unread
    }
}

async fn notify(address: SocketAddr, user: &str, text: &'static str) {
    let cookie = [("cookie", "session=robot")];
    let response = post(address, &format!("/notify/{user}"), &cookie, text).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
}

async fn log_in(tools: &Tools, address: SocketAddr) -> Chromium {
    let browser = Chromium::start(tools).await;
    browser.open(&format!("http://{address}/")).await;
    until_form(&browser).await;
    browser.until("document.querySelector('[name=id]').value = 'ann'").await;
    submit(&browser, "#log-in").await;
    browser
}

/// Sends a form by `fetch`, and opens the page to which the answer leads. After a click instead,
/// the next script could run in the old page, and its answer would never come.
async fn submit(browser: &Chromium, form: &str) {
    let script = format!(
        "const form = document.querySelector('{form}'), answer = arguments[arguments.length - 1];
        const body = new URLSearchParams(new FormData(form));
        fetch(form.action, {{ method: form.method, body }}).then(({{ url }}) => answer(url));"
    );
    let url = browser.answer(&script).await.expect("an answer");
    browser.open(url.as_str().unwrap()).await;
}

async fn until_form(browser: &Chromium) {
    browser.until("document.getElementById('log-in')?.hidden === false").await;
}

async fn shows(browser: &Chromium, texts: &[&str]) {
    let list =
        "[...document.querySelectorAll('#inside:not([hidden]) li')].map(row => row.innerText)";
    browser.until(&format!("{list}.join() === {}", json!(texts.join(",")))).await;
}

async fn app(database: impl Database, layer: SseLayer) -> Router {
    database.add_session("robot", User { id: "robot".to_owned() }).await.unwrap();
    example::app(Hub::new(), database, layer)
}

async fn serve(database: impl Database) -> SocketAddr {
    serve_axum(app(database, SseLayer::new()).await).await
}

#[tokio::test]
async fn page_comes_back_after_failed_queries() {
    let Some(tools) = Tools::find() else { return };
    let database = Slow::new();
    let address = serve(database.clone()).await;
    notify(address, "ann", "one").await;
    database.is_gone.store(true, SeqCst);
    let browser = log_in(&tools, address).await;
    until(|| database.failed.load(SeqCst) >= 2).await;
    database.is_gone.store(false, SeqCst);
    for _ in 0..2 {
        database.until_paused().await;
        database.resume();
    }
    shows(&browser, &["one"]).await;
}

#[tokio::test]
async fn page_shows_what_is_notified_around_its_query_once() {
    let Some(tools) = Tools::find() else { return };
    let database = Slow::new();
    let address = serve(database.clone()).await;
    notify(address, "ann", "before").await;
    notify(address, "bob", "of another user").await;
    let browser = log_in(&tools, address).await;
    database.until_paused().await;
    // This notification is among the unread ones, and also comes live.
    notify(address, "ann", "before the query").await;
    database.resume();
    database.until_paused().await;
    // This one only comes live.
    notify(address, "all", "after the query").await;
    database.resume();
    shows(&browser, &["before", "before the query", "after the query"]).await;
    notify(address, "bob", "of another user").await;
    notify(address, "ann", "live").await;
    shows(&browser, &["before", "before the query", "after the query", "live"]).await;
}

#[tokio::test]
async fn read_notification_leaves_the_page_and_does_not_come_back() {
    let Some(tools) = Tools::find() else { return };
    let address = serve(Memory::default()).await;
    notify(address, "ann", "one").await;
    notify(address, "all", "two").await;
    let browser = log_in(&tools, address).await;
    shows(&browser, &["one", "two"]).await;
    browser.click("#row-1").await;
    shows(&browser, &["two"]).await;
    browser.open(&format!("http://{address}/")).await;
    shows(&browser, &["two"]).await;
}

#[tokio::test]
async fn page_asks_for_a_log_in_after_a_log_out_elsewhere() {
    let Some(tools) = Tools::find() else { return };
    let address = serve(Memory::default()).await;
    let browser = log_in(&tools, address).await;
    shows(&browser, &[]).await;
    browser.until("!document.getElementById('inside').hidden").await;
    // Logs out as another tab would.
    browser.until("fetch('/log_out', { method: 'POST' })").await;
    until_form(&browser).await;

    browser.until("document.querySelector('[name=id]').value = 'ann'").await;
    submit(&browser, "#log-in").await;
    browser.until("!document.getElementById('inside').hidden").await;
    submit(&browser, "[action$=log_out]").await;
    until_form(&browser).await;
}

#[tokio::test]
async fn page_shows_another_user_who_has_logged_in_elsewhere() {
    let Some(tools) = Tools::find() else { return };
    let address = serve(Memory::default()).await;
    let browser = log_in(&tools, address).await;
    shows(&browser, &[]).await;
    notify(address, "bob", "for bob").await;
    notify(address, "ann", "for ann").await;
    shows(&browser, &["for ann"]).await;
    // Logs out and in again as another tab would, before this page reconnects.
    browser
        .until(
            "fetch('/log_out', { method: 'POST' }).then(() =>
                fetch('/log_in', { method: 'POST', body: new URLSearchParams({ id: 'bob' }) }))",
        )
        .await;
    shows(&browser, &["for bob"]).await;
}

#[tokio::test]
async fn page_connects_after_an_outage_without_a_log_in() {
    let Some(tools) = Tools::find() else { return };
    let (outage, layer) = (Outage::default(), SseLayer::new().retry(Duration::from_millis(50)));
    let server = serve_axum(outage.around(app(Memory::default(), layer).await)).await;
    let relay = Relay::to(server.port()).await;
    let browser = log_in(&tools, relay.address).await;
    browser.until("!document.getElementById('inside').hidden").await;
    outage.begin(&relay).await;
    browser.until("document.getElementById('log-in').hidden").await;
    outage.end();
    notify(server, "ann", "after the outage").await;
    shows(&browser, &["after the outage"]).await;
}
