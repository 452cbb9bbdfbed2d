//! cargo run --example ticker --all-features
//!
//! Then open http://127.0.0.1:3000 and choose symbols, or watch some with curl:
//!
//! curl -N 'http://127.0.0.1:3000/prices?symbols=AAA,AAB'
//!
//! The prices of 500 symbols, of which a client chooses some. The section "Only the newest value" of
//! the hub's documentation explains the parts.
//!
//! In a program of your own, run:
//!
//! cargo add tower-sse --features axum,hub,page,signal && cargo add axum fastrand tokio-util
//! cargo add tokio --features full && cargo add serde --features derive
//! cargo add socket2 --features all
//!
//! Set `PORT` to use another port.

use std::{env, io, process, time::Duration};

use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse, Response},
    routing::get,
    serve::ListenerExt,
};
use serde::Deserialize;
use tokio::{
    net::{TcpListener, TcpStream},
    time::interval,
};
use tokio_util::sync::CancellationToken;
use tower_sse::{LastEventId, Retention, SseLayer, hub::Hub, page};

/// A client receives at most one price of a symbol in this time.
const WINDOW: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = format!("127.0.0.1:{}", env::var("PORT").as_deref().unwrap_or("3000"));
    let listener = TcpListener::bind(&address).await.unwrap_or_else(|error| {
        eprintln!("cannot listen on {address}: {error}");
        process::exit(1);
    });
    println!("listening on http://{}", listener.local_addr()?);
    let hub = Hub::builder().retention(Retention::latest()).build();
    // Before the first request, because a client that returns after a restart would get a gap for each
    // symbol without a price. A real program would read the last prices from a database.
    for symbol in symbols() {
        publish(&hub, &symbol, 100.0);
    }
    tokio::spawn(trade(hub.clone()));
    let listener = listener.tap_io(|stream| {
        if let Err(error) = set_options(stream) {
            eprintln!("socket options: {error}");
        }
    });
    let shutdown = CancellationToken::new();
    let app = app(hub, WINDOW, SseLayer::new().for_pages().shutdown(shutdown.clone()));
    let server =
        axum::serve(listener, app).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(10));
    tokio::select! { served = server => served, stopped = stop => stopped }
}

pub(crate) fn app(hub: Hub, window: Duration, layer: SseLayer) -> Router {
    Router::new()
        .route("/prices", get(prices))
        .layer(layer)
        .route("/", get(Html(include_str!("page.html"))))
        .route("/tower-sse.js", get(async |headers: HeaderMap| page::module(&headers)))
        .route("/symbols", get(async || symbols().collect::<Vec<_>>().join(",")))
        .with_state(Market { hub, window })
}

pub(crate) fn set_options(stream: &TcpStream) -> io::Result<()> {
    // Events are small packets: with Nagle's algorithm, each waits for the ACK of the one before.
    stream.set_nodelay(true)?;
    // While a client does not read, the kernel would buffer megabytes of its prices. With this limit
    // on unsent bytes, hyper and the hub wait, and send the newest prices later.
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(16 * 1024)?;
    Ok(())
}

/// Returns the names of all symbols, `AAA` to `ATF`.
pub(crate) fn symbols() -> impl Iterator<Item = String> {
    let letter = |n: u32| char::from(b'A' + (n % 26) as u8);
    (0..500).map(move |n| [letter(n / 676), letter(n / 26), letter(n)].into_iter().collect())
}

#[derive(Clone)]
struct Market {
    hub: Hub,
    window: Duration,
}

#[derive(Deserialize)]
struct Choice {
    /// Names, separated by commas.
    symbols: String,
}

async fn prices(
    State(Market { hub, window }): State<Market>,
    Query(choice): Query<Choice>,
    last: Option<LastEventId>,
) -> Response {
    let chosen: Vec<_> = choice.symbols.split(',').collect();
    // A subscription creates its topics, so clients must not invent names.
    let mut known = symbols().filter(|symbol| chosen.contains(&&**symbol)).peekable();
    if known.peek().is_none() {
        return StatusCode::NOT_FOUND.into_response();
    }
    hub.subscribe(known).flush_window(window).resume(last).response().into_response()
}

/// Publishes 5,000 prices a second.
async fn trade(hub: Hub) {
    let mut prices: Vec<(String, f64)> = symbols().map(|symbol| (symbol, 100.0)).collect();
    let mut ticks = interval(Duration::from_millis(10));
    loop {
        ticks.tick().await;
        for _ in 0..50 {
            let (symbol, price) = &mut prices[fastrand::usize(..500)];
            *price *= 0.999 + 0.002 * fastrand::f64();
            publish(&hub, symbol, *price);
        }
    }
}

/// Begins the data with the topic's name, because events don't name their topics.
pub(crate) fn publish(hub: &Hub, symbol: &str, price: f64) {
    if let Err(error) = hub.publish_now(symbol, format!("{symbol} {price:.2}")) {
        eprintln!("{symbol}: {error}");
    }
}
