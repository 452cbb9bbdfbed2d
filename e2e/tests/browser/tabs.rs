//! The guide's worker that holds one stream for all tabs, and the guide's page that closes its
//! stream while the page is hidden.

use axum::routing::get;
use http::header::CONTENT_TYPE;

use crate::engine::{Engine, EnginePage};
use crate::*;

const PAGE: &str = include_str!("../../../docs/guide/clients.md");

fn script(text: &str) -> &'static str {
    let scripts = PAGE.split("```js\n").skip(1).map(|block| block.split_once("```").unwrap().0);
    scripts.into_iter().find(|script| script.contains(text)).expect("a script")
}

/// Opens and closes frames, which share a worker as tabs do, and reports what each of them shows.
const TABS: &str = "
    globalThis.tabs = {};
    globalThis.open = (name, last) => {
        const tab = document.createElement('iframe');
        tab.src = `/tab?${name}#${last}`;
        tabs[name] = document.body.appendChild(tab);
    };
    globalThis.say = (name, text) => report(`${name} ${text}`);
    const commands = new EventSource('/commands');
    commands.onmessage = ({ data }) => eval(data);";

async fn each_tab_shows_every_event_once(engine: Engine) {
    let (hub, commands, stats) = (Hub::new(), Hub::new(), Stats::new());
    let tab = format!(
        "<!doctype html><script>
        const name = location.search.slice(1);
        const show = text => parent.say(name, text), reload = () => show('reload');
        {}
        last = decodeURIComponent(location.hash.slice(1));
        port.addEventListener('message', () => parent['last_' + name] = last);
        </script>",
        script("new SharedWorker")
    );
    let subscribe = |hub: &Hub, topic: &'static str| {
        let hub = hub.clone();
        get(async move |last: Option<LastEventId>| hub.subscribe_to(topic).resume(last).response())
    };
    let layer = SseLayer::new().last_event_id_query("last");
    let worker = get(([(CONTENT_TYPE, "text/javascript")], script("onconnect")));
    let app = Router::new()
        .route("/commands", subscribe(&commands, "all").layer(layer.clone()))
        .route("/events", subscribe(&hub, "news").layer(layer.stats(&stats)))
        .route("/tab", get(Html(tab)))
        .route("/worker.js", worker);
    let Some(mut page) = EnginePage::open(engine, app, TABS).await else { return };
    until(|| commands.stats().subscribers == 1).await;
    let run = async |script: &str| _ = commands.publish("all", script).await.unwrap();
    let publish = async |text: &str| _ = hub.publish("news", text).await.unwrap();

    run("open('a', '')").await;
    until(|| hub.stats().subscribers == 1).await;
    publish("1").await;
    assert_eq!(page.next_report().await, "a 1", "{engine:?}");
    run("open('b', encodeURIComponent(last_a)), tabs.b.onload = () => say('b', 'is open')").await;
    assert_eq!(page.next_report().await, "b is open");
    publish("2").await;
    let mut shown = [page.next_report().await, page.next_report().await];
    shown.sort();
    assert_eq!(shown, ["a 2", "b 2"], "{engine:?}");

    // One tab misses an event, and another has an id that the worker does not know.
    run("tabs.b.remove(), say('b', 'is closed')").await;
    assert_eq!(page.next_report().await, "b is closed");
    publish("3").await;
    assert_eq!(page.next_report().await, "a 3", "{engine:?}");
    run("open('b', encodeURIComponent(last_b))").await;
    assert_eq!(page.next_report().await, "b 3", "{engine:?}");
    run("open('c', 'unknown')").await;
    assert_eq!(page.next_report().await, "c reload", "{engine:?}");
    assert_eq!(stats.snapshot().opened, 1, "one stream for all tabs");
}

#[tokio::test]
async fn chromium_shares_one_stream_between_tabs() {
    each_tab_shows_every_event_once(Engine::ChromiumAlone).await;
}

#[tokio::test]
#[ignore = "needs three engines: `.ci/slow engines`"]
async fn firefox_shares_one_stream_between_tabs() {
    each_tab_shows_every_event_once(Engine::Firefox).await;
}

#[tokio::test]
async fn worker_opens_another_stream_after_an_outage() {
    let (hub, outage) = (Hub::new(), Outage::default());
    let delay = "Math.random() * 10_000";
    let worker = script("onconnect");
    assert!(worker.contains(delay), "{worker}");
    let worker = worker.replace(delay, "0");
    let layer = SseLayer::new().last_event_id_query("last").retry(Duration::from_millis(50));
    let events = async |State(hub): State<Hub>, last: Option<LastEventId>| {
        hub.subscribe_to("news").resume(last).response()
    };
    let events = Router::new().route("/events", get(events).layer(layer)).with_state(hub.clone());
    let worker = get(([(CONTENT_TYPE, "text/javascript")], worker));
    let app = outage.around(events).route("/worker.js", worker);
    // The code is in a block, because the page of the test has a `last` too.
    let functions = "const show = report, reload = () => report('reload');";
    let tab = format!("{{ {functions} {} }}", script("new SharedWorker"));
    let Some(mut page) = EnginePage::open(Engine::ChromiumAlone, app, &tab).await else { return };
    until(|| hub.stats().subscribers == 1).await;
    hub.publish("news", "before").await.unwrap();
    assert_eq!(page.next_report().await, "before");
    outage.begin(&page.relay).await;
    hub.publish("news", "during").await.unwrap();
    outage.end();
    assert_eq!(page.next_report().await, "during");
}

/// Runs the test's commands in the page with the guide's watchdog, and reports events, gaps and the
/// page's visibility. The commands open and close a tab in front of the page.
const WATCHDOG: &str = "
    const show = report, reload = () => report('gap');
    document.addEventListener('visibilitychange', () => report(document.visibilityState));
    const commands = new EventSource('/commands');
    commands.onmessage = ({ data }) => eval(data);";

async fn hidden_tab_closes_its_stream_and_misses_nothing(engine: Engine) {
    let hub = Hub::builder().retention(Retention::new().events(10)).build();
    let commands = Hub::new();
    let subscribe = |hub: &Hub, topic: &'static str| {
        let hub = hub.clone();
        get(async move |last: Option<LastEventId>| hub.subscribe_to(topic).resume(last).response())
    };
    let heartbeat = Heartbeat::every(Duration::from_secs(15)).event("heartbeat", "{}");
    let app = Router::new()
        .route("/commands", subscribe(&commands, "all"))
        .route("/events", subscribe(&hub, "news"))
        .route("/other", get(Html("<!doctype html>")))
        .layer(SseLayer::new().heartbeat(heartbeat).last_event_id_query("last"));
    // The code is in a block, because the page of the test has a `last` too.
    let scripts = [WATCHDOG, script("const BEAT = 15_000"), script("visibilitychange")];
    let script = format!("{{ {} }}", scripts.join("\n"));
    let Some(mut page) = EnginePage::open(engine, app, &script).await else { return };
    until(|| commands.stats().subscribers == 1 && hub.stats().subscribers == 1).await;
    let mut number = 0;
    let mut publish = async |events: usize| {
        for _ in 0..events {
            hub.publish("news", number.to_string()).await.unwrap();
            number += 1;
        }
    };

    publish(1).await;
    assert_eq!(page.next_report().await, "0", "{engine:?}");
    // The page misses fewer events than the hub keeps, and then more.
    let all_missed = ["1", "2", "3"].as_slice();
    let newest = ["gap", "14", "15", "16", "17", "18", "19", "20", "21", "22", "23"].as_slice();
    for (missed, shown) in [(3, all_missed), (20, newest)] {
        commands.publish("all", "globalThis.other = open('/other')").await.unwrap();
        assert_eq!(page.next_report().await, "hidden", "{engine:?}");
        until(|| hub.stats().subscribers == 0).await;
        publish(missed).await;
        commands.publish("all", "other.close()").await.unwrap();
        assert_eq!(page.next_report().await, "visible", "{engine:?}");
        for shown in shown {
            assert_eq!(page.next_report().await, *shown, "{engine:?}");
        }
    }
    publish(1).await;
    assert_eq!(page.next_report().await, "24", "nothing came twice");
}

#[tokio::test]
async fn chromium_closes_the_stream_of_a_hidden_tab() {
    hidden_tab_closes_its_stream_and_misses_nothing(Engine::ChromiumAlone).await;
}

#[tokio::test]
#[ignore = "needs three engines: `.ci/slow engines`"]
async fn firefox_closes_the_stream_of_a_hidden_tab() {
    hidden_tab_closes_its_stream_and_misses_nothing(Engine::Firefox).await;
}
