//! A server ends its streams, by a shutdown or by age, and both kinds of client reconnect.

use crate::*;

async fn serve(name: &'static str, address: SocketAddr, log: &Log, package: &Path) -> Server {
    let app = log.routes(name).merge(page(Some(package.to_path_buf())));
    Server::start(address, layer(name), app).await
}

/// Waits until both clients have an event from the second server that was published after this
/// call.
async fn until_second(browser: &Chromium, log: &Log) {
    let now = log.last();
    let caught_up = format!("it.events.some(([id, server]) => id > {now} && server === 'second')");
    browser.until_each(&BOTH, &caught_up).await;
}

fn closed_for(reason: CloseReason, stats: &StatsSnapshot) -> u64 {
    stats.closed_by_reason.iter().find(|(other, _)| *other == reason).unwrap().1
}

fn is_resumed(client: &str, seen: &Seen) {
    seen.misses_and_doubles_nothing(client);
    assert_eq!(seen.servers(), ["first", "second"], "{client}");
    assert_eq!(seen.farewells, ["first"], "{client}");
    assert!(!seen.over, "{client}");
}

#[tokio::test]
async fn both_clients_get_the_farewell_and_reconnect_to_the_next_server() {
    let (Some(tools), Some(package)) = (Tools::find(), find_fetch_event_source()) else { return };
    let log = Log::start();
    let first = serve("first", ANY, &log, &package).await;
    let address = first.address;
    let browser = Chromium::start(&tools).await;
    browser.listen(address, &BOTH).await;
    browser.until_each(&BOTH, "it.events.length > 20").await;

    shuts_down_after_refusals(&browser, first).await;
    // Each stream or refusal ends with an error, and each failed connection causes another one.
    browser.until_each(&BOTH, "it.errors > Math.max(it.opened, it.answers.length)").await;
    let _second = serve("second", address, &log, &package).await;
    are_resumed_after_refusals(&browser, &log).await;
}

/// Through nginx, which asks the second server once the first no longer listens.
#[tokio::test]
async fn both_clients_reconnect_through_nginx_over_http_1_1() {
    let (Some(tools), Some(nginx)) = (Tools::find(), find_nginx()) else { return };
    let Some(package) = find_fetch_event_source() else { return };
    let log = Log::start();
    let first = serve("first", ANY, &log, &package).await;
    let second = serve("second", ANY, &log, &package).await;
    let upstream = format!("server {}; server {} backup;", first.address, second.address);
    // Over HTTP/1.0, nginx's former default, a failure becomes a clean end.
    let nginx = Proxy::nginx(&nginx, &upstream, "proxy_http_version 1.1;").await;
    let browser = Chromium::start(&tools).await;
    browser.listen(nginx.address, &BOTH).await;
    browser.until_each(&BOTH, "it.events.length > 20").await;

    shuts_down_after_refusals(&browser, first).await;
    are_resumed_after_refusals(&browser, &log).await;
}

async fn shuts_down_after_refusals(browser: &Chromium, server: Server) {
    server.drain();
    // To an `EventSource` the refusal is a stream that opens and ends.
    browser.until_each(&[EVENT_SOURCE], "it.opened > 2").await;
    browser.until_each(&[FETCHED], "it.answers.length > 2").await;
    let stats = server.stats.snapshot();
    assert!(stats.refused >= 4, "{stats:?}");
    assert_eq!((stats.opened, stats.open), (2, 0));
    assert_eq!(closed_for(CloseReason::Drained, &stats), 2);
    server.shut_down().await;
}

async fn are_resumed_after_refusals(browser: &Chromium, log: &Log) {
    until_second(browser, log).await;
    for client in BOTH {
        is_resumed(client, &browser.seen(client).await);
    }
    let fetched = browser.seen(FETCHED).await;
    let [first, refused @ .., last] = &*fetched.answers else {
        panic!("{fetched:?}");
    };
    let ok = (200, None);
    assert_eq!((first, last), (&ok, &ok));
    // `Retry-After` has whole seconds, so the time of at most 300 ms is rounded up to one second.
    let unavailable = (503, Some("1".to_owned()));
    assert!(refused.len() >= 2 && refused.iter().all(|it| *it == unavailable), "{refused:?}");
    let retry = fetched.retry.expect("a reconnection time");
    assert!((100..=300).contains(&retry), "{retry}");
}

#[tokio::test]
async fn both_clients_reconnect_each_time_a_stream_reaches_its_maximum_age() {
    let (Some(tools), Some(package)) = (Tools::find(), find_fetch_event_source()) else { return };
    let log = Log::start();
    let layer = layer("only")
        .max_age(MaxAge::new(Duration::from_millis(200)).jitter(0.5))
        .retry(Retry::fixed(Duration::from_millis(20)));
    let app = log.routes("only").merge(page(Some(package)));
    let server = Server::start(ANY, layer, app).await;
    let browser = Chromium::start(&tools).await;
    browser.listen(server.address, &BOTH).await;

    browser.until_each(&BOTH, "it.opened > 5").await;
    let opened = format!("it.events.some(([id]) => id > {})", log.last());
    browser.until_each(&BOTH, &opened).await;
    for client in BOTH {
        let seen = browser.seen(client).await;
        seen.misses_and_doubles_nothing(client);
        assert_eq!(seen.farewells, [""; 0], "{client}");
    }
    let stats = server.stats.snapshot();
    assert!(stats.closed >= 10, "{stats:?}");
    assert_eq!(stats.closed, closed_for(CloseReason::Expired, &stats), "{stats:?}");
}
