use std::{env, fs::write, path::PathBuf, time::Duration};

use serde_json::json;

use crate::{chromium::Chromium, example, support::serve_axum, tools::Tools};

/// Takes screenshots of the dashboard, after a cut and after its drills, into the directory that
/// the variable names.
#[tokio::test]
#[ignore = "for people to look at: TOWER_SSE_SCREENSHOTS=<directory> cargo test -- --ignored"]
async fn screenshots_of_the_dashboard_are_taken() {
    let directory = PathBuf::from(env::var_os("TOWER_SSE_SCREENSHOTS").expect("a directory"));
    let Some(tools) = Tools::find() else { return };
    let server = serve_axum(example::app(Duration::from_millis(200))).await;
    let phone = json!({
        "mobileEmulation": {
            "deviceMetrics": { "width": 390, "height": 844, "pixelRatio": 2, "mobile": true },
        },
    });
    for (name, scheme, options) in [
        ("light", "1", json!({})),
        ("dark", "0", json!({})),
        ("phone", "1", phone.clone()),
        ("phone-dark", "0", phone),
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
        browser.until("dashboard.opened.length === 2").await;
        let resumed = browser.until("dashboard.samples.length").await;
        browser.until(&format!("dashboard.samples.length > {resumed} + 10")).await;
        write(directory.join(format!("{name}.png")), browser.screenshot().await).unwrap();

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
}
