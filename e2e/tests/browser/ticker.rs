//! The example `ticker` in a browser: prices of the chosen symbols.

use crate::*;

#[path = "../../../examples/ticker/main.rs"]
#[allow(dead_code)]
mod example;

#[tokio::test]
async fn page_shows_the_newest_prices_of_the_chosen_symbols() {
    let Some(tools) = Tools::find() else { return };
    let hub = Hub::builder().retention(Retention::latest()).build();
    for symbol in example::symbols() {
        example::publish(&hub, &symbol, 1.0);
    }
    let (listener, address) = listen().await;
    let app = example::app(hub.clone(), Duration::from_millis(20), SseLayer::new());
    tokio::spawn(async { axum::serve(listener, app).await });

    let browser = Chromium::start(&tools).await;
    browser.open(&format!("http://{address}/")).await;
    browser.until("$('prices').textContent === 'AAA1.00AAB1.00AAC1.00'").await;
    example::publish(&hub, "AAB", 2.5);
    browser.until("$('prices').textContent === 'AAA1.00AAB2.50AAC1.00'").await;
    browser.click("#all").await;
    browser.until("$('prices').children.length === 500").await;
    example::publish(&hub, "ATF", 3.0);
    browser.until("[...$('prices').children].some(row => row.textContent === 'ATF3.00')").await;
    // The page received three prices, a change, then all 500 prices, and another change.
    browser.until("received === 3 + 1 + 500 + 1").await;
}
