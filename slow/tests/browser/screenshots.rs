//! Screenshots for a review by eye, which `.ci/slow screenshots` takes. One test here overwrites
//! `docs/dashboard.png`, the other needs `TOWER_SSE_SCREENSHOTS=<directory>`.

use std::{fs::write, path::Path, time::Duration};

use serde_json::json;

use crate::browser::Tools;
use crate::chromium::{Chromium, directory_of_screenshots, phone};
use crate::example;
use crate::support::serve_axum;

/// Takes the picture that the README links to.
#[tokio::test]
async fn dashboard_of_the_readme_is_taken() {
    let Some(tools) = Tools::find() else { return };
    let server =
        serve_axum(example::app(Duration::from_millis(200), tower_sse::SseLayer::new())).await;
    let arguments =
        ["--window-size=1180,1010", "--hide-scrollbars", "--blink-settings=preferredColorScheme=1"];
    let browser = Chromium::start_with(&tools, &arguments, &json!({})).await;
    browser.open(&format!("http://{server}/")).await;
    browser.until("dashboard.samples.length > 100").await;
    resume_after_a_cut(&browser).await;
    let picture = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/dashboard.png");
    write(picture, browser.screenshot().await).unwrap();
}

/// Takes pictures of the dashboard during and after a cut, and during and after its drills.
#[tokio::test]
async fn dashboard_is_taken_in_each_form() {
    let directory = directory_of_screenshots().expect("TOWER_SSE_SCREENSHOTS names a directory");
    let Some(tools) = Tools::find() else { return };
    let server =
        serve_axum(example::app(Duration::from_millis(200), tower_sse::SseLayer::new())).await;
    for (name, scheme, options) in [
        ("light", "1", json!({})),
        ("dark", "0", json!({})),
        ("phone", "1", phone(390)),
        ("phone-dark", "0", phone(390)),
    ] {
        let scheme = format!("--blink-settings=preferredColorScheme={scheme}");
        let arguments = [&scheme, "--window-size=1180,2180", "--hide-scrollbars"];
        let browser = Chromium::start_with(&tools, &arguments, &options).await;
        browser.open(&format!("http://{server}/")).await;
        browser.until("dashboard.samples.length > 100").await;
        browser.click("#cut button").await;
        browser.until("document.querySelector('#state').textContent.includes('2 s')").await;
        let picture = directory.join(format!("{name}-cut.png"));
        write(picture, browser.screenshot().await).unwrap();
        is_resumed(&browser).await;
        write(directory.join(format!("{name}.png")), browser.screenshot().await).unwrap();
        run_both_drills(&browser, &directory, name).await;
    }
}

async fn resume_after_a_cut(browser: &Chromium) {
    browser.click("#cut button").await;
    is_resumed(browser).await;
}

async fn is_resumed(browser: &Chromium) {
    browser.until("dashboard.opened.length === 2").await;
    let resumed = browser.until("dashboard.samples.length").await;
    browser.until(&format!("dashboard.samples.length > {resumed} + 10")).await;
}

async fn run_both_drills(browser: &Chromium, directory: &Path, name: &str) {
    let scroll = "document.querySelector('.drill').scrollIntoView({ block: 'nearest' })";
    browser.until(&format!("{scroll} ?? true")).await;
    for (kind, button) in [("storm", "false"), ("spread", "true")] {
        browser.click(&format!("#drill [value={button}]")).await;
        browser.until(&format!("dashboard.runs.{kind}?.phase === 'draining'")).await;
        if kind == "spread" {
            browser.until("dashboard.runs.spread.returned.length > 5").await;
            let picture = directory.join(format!("{name}-draining.png"));
            write(picture, browser.screenshot().await).unwrap();
        }
        let button = "!document.querySelector('#drill button').disabled";
        browser.until(&format!("dashboard.runs.{kind}.phase === 'over' && {button}")).await;
    }
    write(directory.join(format!("{name}-drills.png")), browser.screenshot().await).unwrap();
}
