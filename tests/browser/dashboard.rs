use std::{net::SocketAddr, time::Duration};

use serde_json::Value;

use crate::{
    chromium::Chromium,
    example,
    nginx::Nginx,
    support::serve_axum,
    tools::{Tools, find_nginx},
};

pub(crate) const INTERVAL: Duration = Duration::from_millis(100);
/// So many samples are looked at, before the cut and after.
const LIVE: usize = 15;

#[tokio::test]
async fn the_dashboard_gets_events_one_by_one_and_resumes_after_a_cut() {
    let Some(tools) = Tools::find() else { return };
    let server = serve_axum(example::app(INTERVAL)).await;
    is_seen_live_cut_and_resumed(&tools, server).await;
}

#[tokio::test]
async fn the_dashboard_does_so_through_nginx_with_default_proxy_settings() {
    let (Some(tools), Some(nginx)) = (Tools::find(), find_nginx()) else { return };
    let server = serve_axum(example::app(INTERVAL)).await;
    let nginx = Nginx::start(&nginx, server).await;
    is_seen_live_cut_and_resumed(&tools, nginx.address).await;
}

async fn is_seen_live_cut_and_resumed(tools: &Tools, address: SocketAddr) {
    let browser = Chromium::start(tools).await;
    browser.open(&format!("http://{address}/")).await;

    // What was kept when the page came is sent in one go.
    let history = browser.until("dashboard.samples.length").await.as_u64().unwrap();
    browser.until(&format!("dashboard.samples.length >= {}", history as usize + LIVE)).await;
    assert_eq!(browser.until("document.querySelector('#state').textContent").await, "open");
    let samples = seen(&browser).await;
    came_one_by_one(&samples[samples.len() - LIVE..]);

    browser.choose("#cut select", "1").await;
    browser.click("#cut button").await;
    browser.until("dashboard.opened.length === 2").await;
    let caught_up = browser.until("dashboard.samples.length").await.as_u64().unwrap();
    browser.until(&format!("dashboard.samples.length >= {}", caught_up as usize + LIVE)).await;
    let samples = seen(&browser).await;
    came_one_by_one(&samples[samples.len() - LIVE..]);

    let ids: Vec<u64> = samples.iter().map(|sample| sample.id).collect();
    let consecutive: Vec<u64> = (ids[0]..).take(ids.len()).collect();
    assert_eq!(ids, consecutive, "no gap and no double");
    let before = samples.iter().rfind(|sample| sample.connection == 1).unwrap();
    let after = samples.iter().find(|sample| sample.connection == 2).unwrap();
    assert_eq!(after.id, before.id + 1);
    assert!(samples.iter().all(|sample| sample.connection <= 2), "cut once");
    assert_eq!(browser.until("[dashboard.missing, dashboard.doubles]").await.to_string(), "[0,0]");
    let verdict = browser.until("document.querySelector('#verdict').textContent").await;
    let promise = format!("Resumed after {}, no gap, none twice", before.id);
    assert!(verdict.as_str().unwrap().contains(&promise), "{verdict}");
}

struct Seen {
    id: u64,
    connection: u64,
    /// Milliseconds, by the browser's clock.
    arrived: f64,
    /// Milliseconds, by the server's clock.
    made: f64,
}

/// What the page's own code has got, and when.
async fn seen(browser: &Chromium) -> Vec<Seen> {
    let samples =
        browser.until("dashboard.samples.map(s => [s.id, s.connection, s.arrived, s.time])").await;
    let seen = |sample: &Value| Seen {
        id: sample[0].as_u64().unwrap(),
        connection: sample[1].as_u64().unwrap(),
        arrived: sample[2].as_f64().unwrap(),
        made: sample[3].as_f64().unwrap(),
    };
    samples.as_array().unwrap().iter().map(seen).collect()
}

/// Did they arrive as they were made? In a burst they would be as long under way as the first had to
/// wait for the last.
fn came_one_by_one(samples: &[Seen]) {
    let (first, last) = (samples.first().unwrap(), samples.last().unwrap());
    let (made, arrived) = (last.made - first.made, last.arrived - first.arrived);
    assert!(arrived > made / 2.0, "made within {made} ms, arrived within {arrived} ms");
    let alone = samples.windows(2).filter(|pair| pair[1].arrived - pair[0].arrived > 20.0).count();
    assert!(alone >= samples.len() / 2, "{alone} of {} came alone", samples.len());
}
