//! Clients at the limit of open streams.

use crate::*;

#[tokio::test]
async fn refused_event_source_is_admitted_once_a_permit_is_free() {
    let Some(tools) = Tools::find() else { return };
    let log = Log::start();
    // The number of refusals before the first permit was released.
    let (stats, until_free) = (Stats::new(), Arc::new(OnceLock::new()));
    let layer = layer("only").max_streams(1).on_close({
        let (stats, until_free) = (stats.clone(), Arc::clone(&until_free));
        move |_| _ = until_free.set(stats.snapshot().refused)
    });
    let app = log.routes("only").merge(page(None));
    let server = Server::start_counting(ANY, layer, app, stats).await;
    let mut first = EventReader::new(client::get(server.address, "/events", &[]).await);
    assert_eq!(first.next().await.unwrap().data, "only");

    let browser = Chromium::start(&tools).await;
    browser.listen(server.address, &[EVENT_SOURCE]).await;
    browser.until_each(&[EVENT_SOURCE], "it.opened > 2").await;
    let seen = browser.seen(EVENT_SOURCE).await;
    assert!(seen.events.is_empty() && !seen.over, "{seen:?}");

    drop(first);
    browser.until_each(&[EVENT_SOURCE], "it.events.length > 20").await;
    let seen = browser.seen(EVENT_SOURCE).await;
    seen.misses_and_doubles_nothing(EVENT_SOURCE);
    let stats = server.stats.snapshot();
    assert_eq!(Some(&stats.refused), until_free.get(), "it came in at the first try");
    assert_eq!((stats.opened, stats.open), (2, 1));
}

#[tokio::test]
async fn two_kinds_of_clients_take_turns_at_a_limit_of_one() {
    let (Some(tools), Some(package)) = (Tools::find(), find_fetch_event_source()) else { return };
    let log = Log::start();
    let app = log.routes("only").merge(page(Some(package)));
    let layer = layer("only").max_streams(1).max_age(MaxAge::new(Duration::from_millis(300)));
    let server = Server::start(ANY, layer, app).await;
    let browser = Chromium::start(&tools).await;
    browser.listen(server.address, &BOTH).await;
    browser.until_each(&[FETCHED], "it.answers.some(([status]) => status === 503)").await;
    browser.until_each(&BOTH, "it.events.length > 20").await;
    for client in BOTH {
        browser.seen(client).await.misses_and_doubles_nothing(client);
    }
    assert!(server.stats.snapshot().refused > 0);
}
