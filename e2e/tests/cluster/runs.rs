//! The example `runs_cluster`: an answer and its pages meet, whichever process each request reaches.

use crate::*;

#[path = "../../../examples/runs/model.rs"]
#[allow(dead_code)]
mod model;

use model::ANSWER;

/// What a process prints when it calls the handler, and when it attaches a page.
const CALL: &str = "the handler is called";
const PAGE: &str = "a page attaches";

/// The example in a browser.
struct Example {
    script: Script,
    browser: Chromium,
}

impl Example {
    async fn start() -> Option<Self> {
        let tools = Tools::find()?;
        let script = Script::start("runs_cluster").await?;
        let browser = Chromium::start(&tools).await;
        browser.open(&format!("http://{}/", script.address())).await;
        Some(Self { script, browser })
    }

    fn total(&self, line: &str) -> usize {
        self.script.count("one", line) + self.script.count("two", line)
    }

    /// Presses the button, and returns the process that makes the answer and the other one.
    async fn ask(&self) -> [&'static str; 2] {
        let calls = ["one", "two"].map(|name| self.script.count(name, CALL));
        self.browser.click("#ask").await;
        self.until_words("window", 5).await;
        let calls_one = self.script.count("one", CALL) > calls[0];
        let calls_two = self.script.count("two", CALL) > calls[1];
        match (calls_one, calls_two) {
            (true, false) => ["one", "two"],
            (false, true) => ["two", "one"],
            _ => panic!("called in one: {calls_one}, in two: {calls_two}"),
        }
    }

    /// Waits until a page shows at least so many words.
    async fn until_words(&self, page: &str, words: usize) {
        let text = format!("{page}.document.querySelector('#answer')?.textContent");
        self.browser.until(&format!("({text} ?? '').split(' ').length > {words}")).await;
    }

    async fn until_state(&self, page: &str, state: &str) {
        self.browser.until(&format!("{page}.demo?.state === '{state}'")).await;
    }

    /// Asserts that a page has the whole answer.
    async fn is_whole(&self, page: &str) {
        self.until_state(page, "complete").await;
        let text = format!("{page}.document.querySelector('#answer').textContent");
        assert_eq!(self.browser.until(&text).await, ANSWER, "{page}");
    }
}

#[tokio::test]
async fn answer_reaches_pages_through_both_processes_and_is_made_once() {
    let Some(example) = Example::start().await else { return };
    let Example { script, browser } = &example;
    example.ask().await;
    browser.until("window.isOld = true").await;
    browser.click("#reload").await;
    browser.until("!window.isOld && window.demo?.state === 'answering'").await;
    browser.click("#tab").await;
    browser.until("demo.tab?.demo?.state === 'answering'").await;
    // Requests go to the processes in turn, so one more page is at the other one.
    while ["one", "two"].iter().any(|name| script.count(name, PAGE) == 0) {
        let pages = example.total(PAGE);
        browser.click("#cut").await;
        until(|| example.total(PAGE) > pages).await;
    }
    for page in ["window", "demo.tab"] {
        example.is_whole(page).await;
    }
    assert_eq!(example.total(CALL), 1);
}

#[tokio::test]
async fn stop_reaches_the_answer_through_any_process() {
    let Some(example) = Example::start().await else { return };
    // Each time through the next process.
    for _ in 0..3 {
        example.ask().await;
        example.browser.click("#stop").await;
        example.until_state("window", "stopped").await;
    }
    assert_eq!(example.total(CALL), 3);
}

#[tokio::test]
async fn answer_survives_the_other_process_and_a_page_is_told_if_its_own_is_killed() {
    let Some(mut example) = Example::start().await else { return };
    let [_, other] = example.ask().await;
    example.script.kill(other);
    example.is_whole("window").await;
    until(|| example.script.starts_of(other) == 2).await;

    let [owner, _] = example.ask().await;
    let calls = example.total(CALL);
    example.script.kill(owner);
    example.until_state("window", "lost").await;
    assert_eq!(example.total(CALL), calls, "a page only attaches");
    example.script.stop();
}
