//! A page of a headless Chromium, options for a phone, and the directory for screenshots.

#![allow(dead_code)]

use std::{env, path::PathBuf, sync::Arc, thread::panicking, time::Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use fantoccini::{Client, Locator};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::browser::{Browser, Idle, Tools};
use crate::support::{PATIENCE, soon};

/// A page of a headless Chromium. Dropping it returns the browser to its pool, unless the test
/// panics.
pub(crate) struct Chromium {
    page: Client,
    /// `None` only in `drop`.
    browser: Option<Browser>,
    idle: Arc<Idle>,
}

impl Chromium {
    pub(crate) async fn start(tools: &Tools) -> Self {
        let idle = Idle::shared();
        let (browser, page) = match idle.take() {
            Some(browser) => {
                let page = browser.page().await;
                (browser, page)
            }
            None => Browser::start(tools, &[], &json!({})).await,
        };
        Self { page, browser: Some(browser), idle }
    }

    /// Starts a browser for this test only, with additional `arguments` and `goog:chromeOptions`.
    pub(crate) async fn start_with(tools: &Tools, arguments: &[&str], options: &Value) -> Self {
        let (browser, page) = Browser::start(tools, arguments, options).await;
        Self { page, browser: Some(browser), idle: Arc::default() }
    }

    pub(crate) async fn open(&self, url: &str) {
        soon(self.page.goto(url)).await.unwrap();
    }

    pub(crate) async fn reload(&self) {
        soon(self.page.refresh()).await.unwrap();
    }

    /// Returns the value of a JavaScript expression once it is truthy, on this page or the next
    /// one.
    pub(crate) async fn until(&self, expression: &str) -> Value {
        let script = format!(
            "const answer = arguments[arguments.length - 1];
            const look = () => {{
                const value = {expression};
                value ? answer(value) : setTimeout(look, 10);
            }};
            look();"
        );
        let start = Instant::now();
        // chromedriver gives up a script when the browser leaves the page, for example after a
        // click.
        while start.elapsed() < PATIENCE {
            if let Some(value) = self.answer(&script).await {
                return value;
            }
        }
        panic!("{expression} did not become true");
    }

    /// Returns the value that a script passes to the callback in its last argument, or `None` if
    /// the script times out.
    pub(crate) async fn answer(&self, script: &str) -> Option<Value> {
        let answer = self.page.execute_async(script, Vec::new());
        match timeout(2 * PATIENCE, answer).await.expect("chromedriver to give up") {
            Err(error) if error.is_script_timeout() => None,
            answer => Some(answer.unwrap()),
        }
    }

    pub(crate) async fn click(&self, selector: &str) {
        self.page.find(Locator::Css(selector)).await.unwrap().click().await.unwrap();
    }

    pub(crate) async fn choose(&self, selector: &str, value: &str) {
        let select = self.page.find(Locator::Css(selector)).await.unwrap();
        select.select_by_value(value).await.unwrap();
    }

    pub(crate) async fn screenshot(&self) -> Vec<u8> {
        self.page.screenshot().await.unwrap()
    }

    pub(crate) fn screenshot_of_all(&self) -> Vec<u8> {
        let answer =
            self.devtools("Page.captureScreenshot", json!({ "captureBeyondViewport": true }));
        BASE64_STANDARD.decode(answer["data"].as_str().unwrap()).unwrap()
    }

    pub(crate) fn devtools(&self, command: &str, parameters: Value) -> Value {
        let command = json!({ "cmd": command, "params": parameters });
        let browser = self.browser.as_ref().expect("there until it is dropped");
        browser.command("POST", "goog/cdp/execute", &command).unwrap()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let browser = self.browser.take().expect("it is dropped once");
        // A failed test may leave the browser in any state.
        if !panicking() {
            browser.empty().unwrap();
            self.idle.put(browser);
        }
    }
}

pub(crate) fn phone(width: u32) -> Value {
    json!({
        "mobileEmulation": {
            "deviceMetrics": { "width": width, "height": 844, "pixelRatio": 2, "mobile": true },
        },
    })
}

/// Returns the directory for screenshots that `TOWER_SSE_SCREENSHOTS` names, if it is set.
pub(crate) fn directory_of_screenshots() -> Option<PathBuf> {
    env::var_os("TOWER_SSE_SCREENSHOTS").map(PathBuf::from)
}
