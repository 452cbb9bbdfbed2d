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
