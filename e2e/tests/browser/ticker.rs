//! The example `ticker` in a browser: prices of the chosen symbols, also after a restart, an outage
//! and a connection that freezes.

use crate::relay::Relay;
use crate::*;

#[path = "../../../examples/ticker/main.rs"]
#[allow(dead_code)]
mod example;

fn hub(symbols: impl IntoIterator<Item: AsRef<str>>) -> Hub {
    let hub = Hub::builder().retention(Retention::latest()).build();
    for symbol in symbols {
        example::publish(&hub, symbol.as_ref(), 1.0);
    }
    hub
}

fn app(hub: &Hub) -> Router {
    let beat = Heartbeat::every(Duration::from_millis(500)).for_pages();
    let layer = SseLayer::new().for_pages().heartbeat(beat).retry(Duration::from_millis(50));
    example::app(hub.clone(), Duration::from_millis(20), layer)
}

/// Opens the page, which shows the first three symbols.
async fn open(tools: &Tools, address: SocketAddr) -> Chromium {
    let browser = Chromium::start(tools).await;
    browser.open(&format!("http://{address}/")).await;
    shows(&browser, "AAA1.00AAB1.00AAC1.00").await;
    browser
}

async fn shows(browser: &Chromium, prices: &str) {
    browser.until(&format!("document.querySelector('#prices').textContent === '{prices}'")).await;
}

#[tokio::test]
async fn page_shows_the_newest_prices_of_the_chosen_symbols() {
    let Some(tools) = Tools::find() else { return };
    let hub = hub(example::symbols());
    let browser = open(&tools, serve_axum(app(&hub)).await).await;
    example::publish(&hub, "AAB", 2.5);
    shows(&browser, "AAA1.00AAB2.50AAC1.00").await;
    browser.click("#all").await;
    browser.until("document.querySelector('#prices').children.length === 500").await;
    example::publish(&hub, "ATF", 3.0);
    browser.until("[...document.querySelectorAll('#prices li')].some(row => row.textContent === 'ATF3.00')").await;
    // The page has shown three prices, a change, then all 500 prices, and another change.
    browser.until("document.querySelector('#shown').textContent == 3 + 1 + 500 + 1").await;

    let choose = "document.querySelector('#symbols').value = 'unknown', form.requestSubmit()";
    browser.until(&format!("({choose}, true)")).await;
    browser.until("document.querySelector('#connection').textContent === '(closed: 404)'").await;
}

#[tokio::test]
async fn page_shows_which_prices_are_unknown_after_a_restart() {
    let Some(tools) = Tools::find() else { return };
    let before = serve_axum(app(&hub(example::symbols()))).await;
    let relay = Relay::to(before.port()).await;
    let browser = open(&tools, relay.address).await;
    let restarted = hub(["AAA"]);
    let after = serve_axum(app(&restarted)).await;
    relay.alternate([after.port(); 2]);
    relay.cut();
    shows(&browser, "AAA1.00AAB?AAC?").await;
    example::publish(&restarted, "AAB", 2.5);
    shows(&browser, "AAA1.00AAB2.50AAC?").await;
}

#[tokio::test]
async fn page_opens_another_stream_after_an_outage() {
    let Some(tools) = Tools::find() else { return };
    let (hub, outage) = (hub(example::symbols()), Outage::default());
    let relay = Relay::to(serve_axum(outage.around(app(&hub))).await.port()).await;
    let browser = open(&tools, relay.address).await;
    outage.begin(&relay).await;
    example::publish(&hub, "AAB", 2.5);
    outage.end();
    shows(&browser, "AAA1.00AAB2.50AAC1.00").await;
}

#[tokio::test]
async fn page_opens_another_stream_after_its_connection_froze() {
    let Some(tools) = Tools::find() else { return };
    let (hub, frozen) = (hub(example::symbols()), Arc::new(Notify::new()));
    let relay = outage::freezable(serve_axum(app(&hub)).await, Arc::clone(&frozen)).await;
    let browser = open(&tools, relay.address).await;
    frozen.notify_waiters();
    example::publish(&hub, "AAB", 2.5);
    shows(&browser, "AAA1.00AAB2.50AAC1.00").await;
}
