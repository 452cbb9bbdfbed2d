//! The example `runs_quickstart` in a browser, with a model that generates when the test allows it.

use axum::routing::post;

use crate::*;

#[path = "../../../examples/runs_quickstart/src/main.rs"]
#[allow(dead_code)]
mod example;

const WORDS: usize = 10;

struct Model {
    address: SocketAddr,
    runs: Runs,
    calls: Arc<AtomicUsize>,
    quota: Arc<Semaphore>,
    /// Cancelled when the stream of an answer is dropped.
    dropped: CancellationToken,
    ends: mpsc::UnboundedReceiver<RunEnd>,
}

impl Model {
    async fn serve() -> Self {
        let (calls, quota) = (Arc::<AtomicUsize>::default(), Arc::new(Semaphore::new(0)));
        let dropped = CancellationToken::new();
        let own = (Arc::clone(&calls), Arc::clone(&quota), dropped.clone());
        let ask = async move || {
            let (calls, quota, dropped) = own;
            calls.fetch_add(1, Relaxed);
            tower_sse::response(stream! {
                let _guard = dropped.drop_guard();
                for word in 1..=WORDS {
                    quota.acquire().await.unwrap().forget();
                    yield Event::from(format!("{word} "));
                }
            })
        };
        let (ended, ends) = mpsc::unbounded_channel();
        let runs = Runs::builder().on_end(move |end: &RunEnd| _ = ended.send(end.clone())).build();
        let address = serve_axum(example::app(runs.clone(), post(ask), SseLayer::new())).await;
        Self { address, runs, calls, quota, dropped, ends }
    }

    /// Generates words, and waits until they are part of the answer.
    async fn generate(&self, words: usize) {
        self.quota.add_permits(words);
        until(|| self.quota.available_permits() == 0).await;
    }

    async fn end(&mut self) -> RunEnd {
        soon(self.ends.recv()).await.expect("the end of a run")
    }
}

/// Waits until the page shows the first words of the answer and this state.
async fn shows(browser: &Chromium, words: usize, state: &str) {
    let answer: String = (1..=words).map(|word| format!("{word} ")).collect();
    let page = "['answer', 'state'].map(id => document.getElementById(id)?.textContent).join('|')";
    browser.until(&format!("{page} === {}", json!(format!("{answer}|{state}")))).await;
}

async fn ask(tools: &Tools) -> (Model, Chromium) {
    let model = Model::serve().await;
    let browser = Chromium::start(tools).await;
    browser.open(&format!("http://{}/", model.address)).await;
    let length = browser.until("history.length").await;
    // A double click, and the Back button still leaves the page.
    browser.until("($('ask').click(), $('ask').click(), true)").await;
    browser.until(&format!("location.hash && history.length === {length}")).await;
    shows(&browser, 0, "answering").await;
    (model, browser)
}

async fn ask_for_words(tools: &Tools) -> (Model, Chromium) {
    let (model, browser) = ask(tools).await;
    model.generate(3).await;
    shows(&browser, 3, "answering").await;
    (model, browser)
}

#[tokio::test]
async fn answer_goes_on_without_its_page_and_is_asked_for_once() {
    let Some(tools) = Tools::find() else { return };
    let (mut model, browser) = ask_for_words(&tools).await;
    browser.reload().await;
    shows(&browser, 3, "answering").await;
    model.generate(1).await;
    shows(&browser, 4, "answering").await;

    let url = browser.until("location.href").await;
    browser.open("about:blank").await;
    model.generate(4).await;
    browser.open(url.as_str().unwrap()).await;
    shows(&browser, 8, "answering").await;
    model.generate(2).await;
    shows(&browser, WORDS, "over").await;
    let end = model.end().await;
    assert_eq!((end.outcome, end.events), (Outcome::Completed, WORDS as u64));
    assert_eq!(model.calls.load(Relaxed), 1);
}

#[tokio::test]
async fn stop_button_ends_the_answer_and_the_model() {
    let Some(tools) = Tools::find() else { return };
    let (mut model, browser) = ask_for_words(&tools).await;
    browser.click("#stop").await;
    shows(&browser, 3, "over").await;
    let end = model.end().await;
    assert_eq!((end.outcome, end.events), (Outcome::Cancelled, 3));
    soon(model.dropped.cancelled()).await;

    // What was generated stays, also for a page that reloads.
    let url = browser.until("location.href").await;
    browser.open("about:blank").await;
    browser.open(url.as_str().unwrap()).await;
    shows(&browser, 3, "over").await;
}

#[tokio::test]
async fn answer_that_is_stopped_before_its_first_word_is_over() {
    let Some(tools) = Tools::find() else { return };
    let (mut model, browser) = ask(&tools).await;
    browser.click("#stop").await;
    shows(&browser, 0, "over").await;
    assert_eq!(model.end().await.outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn page_says_that_its_answer_was_interrupted() {
    let Some(tools) = Tools::find() else { return };
    let (model, browser) = ask_for_words(&tools).await;
    model.runs.drain(Duration::ZERO).await;
    shows(&browser, 3, "interrupted").await;
    browser.reload().await;
    shows(&browser, 3, "interrupted").await;
}

#[tokio::test]
async fn answer_is_shown_although_its_question_got_no_response() {
    let Some(tools) = Tools::find() else { return };
    let model = Model::serve().await;
    let browser = Chromium::start(&tools).await;
    browser.open(&format!("http://{}/", model.address)).await;
    // As after a cut connection.
    let lost = "(...all) => own(...all).then(() => Promise.reject(new TypeError()))";
    browser.until(&format!("(own => window.fetch = {lost})(fetch)")).await;
    browser.click("#ask").await;
    model.generate(3).await;
    shows(&browser, 3, "answering").await;
}

#[tokio::test]
async fn link_cannot_lead_the_page_to_another_path() {
    let Some(tools) = Tools::find() else { return };
    let model = Model::serve().await;
    let browser = Chromium::start(&tools).await;
    browser.open(&format!("http://{}/#../other", model.address)).await;
    browser.click("#stop").await;
    let paths =
        "performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname)";
    browser.until(&format!("{paths}.includes('/answers/..%2Fother')")).await;
}
