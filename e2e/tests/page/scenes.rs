//! What a page lives through, in real engines and in real time.

use crate::*;

/// Heartbeats and reconnections are faster than by default.
pub(crate) fn fast() -> Settings {
    Settings { beat: 500, told: 500, retry: Some((100, 300)), ..Settings::default() }
}

const PLAIN: &str = "open();";
const POLLING: &str = "open({ poll: 2 });";

async fn outage_of_8_seconds_loses_nothing(engine: Engine) {
    let Some(mut page) = EnginePage::open(engine, Settings::default(), PLAIN).await else { return };
    page.is_open().await;
    page.passes().await;
    page.rig.faults.set("502");
    page.rig.wire.cut();
    page.publish(1).await;
    sleep(Duration::from_secs(8)).await;
    page.rig.faults.set("pass");
    page.publish(1).await;
    page.shows_after(1).await;
    page.passes().await;
    page.asks_seldom();
}

async fn restart_after_5_seconds_loses_nothing(engine: Engine) {
    let Some(mut page) = EnginePage::open(engine, Settings::default(), PLAIN).await else { return };
    page.is_open().await;
    page.passes().await;
    page.publish(1).await;
    page.rig.stop();
    sleep(Duration::from_secs(5)).await;
    page.rig.restart(true).await;
    page.publish(1).await;
    page.shows_after(1).await;
    page.asks_seldom();
}

async fn frozen_connection_is_replaced(engine: Engine) {
    let Some(mut page) = EnginePage::open(engine, fast(), PLAIN).await else { return };
    page.is_open().await;
    page.passes().await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(page.rig.faults.asked().len(), 1, "requests while heartbeats come");
    page.rig.wire.freeze();
    page.publish(2).await;
    page.shows_after(1).await;
    page.asks_seldom();
}

/// Both a proxy that holds everything, and one that passes heads.
async fn held_streams_become_polls(engine: Engine) {
    for mode in ["hold", "blocks"] {
        let Some(mut page) = EnginePage::open(engine, fast(), POLLING).await else { return };
        page.is_open().await;
        page.passes().await;
        page.rig.faults.set(mode);
        page.rig.wire.cut();
        page.publish(1).await;
        page.shows_after(1).await;
        for _ in 0..3 {
            page.passes().await;
        }
        let asked = page.rig.faults.asked();
        assert!(asked.iter().filter(|it| it.query.contains("poll=2")).count() >= 3);
    }
}

/// The last event's name is one that no listener of the page wants.
async fn ended_topic_closes_the_stream(engine: Engine) {
    let Some(mut page) = EnginePage::open(engine, fast(), PLAIN).await else { return };
    page.is_open().await;
    page.passes().await;
    page.rig.publish_named("done", "", true).await;
    page.closes_with(204).await;
}

async fn log_out_closes_the_stream(engine: Engine) {
    let Some(mut page) = EnginePage::open(engine, fast(), PLAIN).await else { return };
    page.is_open().await;
    page.passes().await;
    page.rig.faults.set("401");
    page.rig.finish();
    page.closes_with(401).await;
}

/// Chromium's `EventSource` sends no last id behind a worker that answers, and stops at a cut.
/// Firefox's stops when the worker is idle.
async fn answering_service_worker_loses_nothing(engine: Engine) {
    let worker = "addEventListener('install', () => skipWaiting());
        addEventListener('activate', event => event.waitUntil(clients.claim()));
        addEventListener('fetch', event => event.respondWith(fetch(event.request)));";
    let script = "
        await navigator.serviceWorker.register('/worker.js');
        while (!navigator.serviceWorker.controller) await new Promise(resolve => setTimeout(resolve, 20));
        open();";
    let settings = Settings { max_age: 1500, ..fast() };
    let more =
        |app: Router| app.route("/worker.js", get(([("content-type", "text/javascript")], worker)));
    let Some(mut page) = EnginePage::open_with(engine, settings, script, more).await else {
        return;
    };
    page.is_open().await;
    for _ in 0..12 {
        page.passes().await;
        page.publish(1).await;
        sleep(Duration::from_millis(600)).await;
        page.shows_after(page.published() - 1).await;
    }
    page.rig.wire.cut();
    page.passes().await;
}

/// A site of several pages over HTTP/1.1. If the back/forward cache kept the streams of pages that
/// were left, the seventh page would wait for a minute.
async fn pages_that_were_left_hold_no_connection(engine: Engine) {
    let script = "
        const number = Number(location.pathname.split('/')[2] ?? 0);
        const source = open();
        source.addEventListener('open', () => report(`open ${number}`), { once: true });
        addEventListener('pageshow', ({ persisted }) => { if (persisted) report(`again ${number}`); });
        source.addEventListener('message', ({ data }) => {
            if (data === 'next') location.href = `/page/${number + 1}`;
            if (data === 'back') history.back();
        });";
    let Some(mut page) = EnginePage::open(engine, fast(), script).await else { return };
    for number in 0..8 {
        assert_eq!(page.next_report().await, format!("open {number}"));
        until(|| page.rig.running().hub.stats().subscribers == 1).await;
        if number < 7 {
            page.rig.publish("next").await;
            assert_eq!(page.next_report().await, "next");
        }
    }
    page.rig.publish("back").await;
    assert_eq!(page.next_report().await, "back");
    // Back in an earlier page, its stream continues where it was, if the engine has kept the page.
    // WebKit leaves pages out that no user has touched.
    let first = page.next_report().await;
    let is_back = ["again ", "open "].iter().any(|it| first.starts_with(it)) || first == "next";
    assert!(is_back, "{first}");
    until(|| page.rig.running().hub.stats().subscribers == 1).await;
}

/// The target of a redirect is gone, such as a URL with a signature that is over. Chromium asks an
/// `EventSource`'s last target again and again.
async fn redirect_that_is_over_leads_to_the_next_target(engine: Engine) {
    let targets = Arc::new(Mutex::new(Vec::new()));
    let now = Arc::clone(&targets);
    // A redirect has to keep the query, which has the last id.
    let go = get(async move |request: Request| {
        let target: String = now.lock().unwrap().last().cloned().unwrap();
        let query = request.uri().query().unwrap_or_default();
        axum::response::Redirect::temporary(&format!("{target}?{query}"))
    });
    let cors = async |request: Request, next: Next| {
        let origin = request.headers().get("origin").cloned();
        let mut response = next.run(request).await;
        if let Some(origin) = origin {
            response.headers_mut().insert("access-control-allow-origin", origin);
        }
        response
    };
    // Two nodes with the same events.
    let node = |rig: &Rig| rig.running().app().layer(axum::middleware::from_fn(cors));
    let rig = Rig::start(fast(), Router::new()).await;
    let wires = [
        Wire::to(serve_axum(node(&rig)).await, false).await,
        Wire::to(serve_axum(node(&rig)).await, false).await,
    ];
    let target = |wire: &Wire| format!("http://{}/events", wire.address);
    targets.lock().unwrap().push(target(&wires[0]));
    let script = "open({}, '/go');";
    let more = |app: Router| app.route("/go", go);
    let Some(mut page) = EnginePage::open_with(engine, fast(), script, more).await else { return };
    until(|| rig.running().hub.stats().subscribers > 0).await;
    rig.publish("one").await;
    assert_eq!(page.next_report().await, "one");
    targets.lock().unwrap().push(target(&wires[1]));
    wires[0].listen(false);
    wires[0].cut();
    rig.publish("two").await;
    assert_eq!(page.next_report().await, "two");
}

/// The page's server gets one `POST`, and `GET`s after the last id.
async fn post_is_sent_once(engine: Engine) {
    let script = "open({ body: 'question', headers: { 'x-own': '1' } });";
    let Some(mut page) = EnginePage::open(engine, fast(), script).await else { return };
    page.is_open().await;
    page.passes().await;
    page.rig.wire.cut();
    page.publish(1).await;
    page.shows_after(1).await;
    page.rig.finish();
    page.passes().await;
    let methods: Vec<_> = page.rig.faults.asked().into_iter().map(|it| it.method).collect();
    assert_eq!(methods[0], "POST");
    assert!(methods[1..].iter().all(|method| method == "GET"), "{methods:?}");
}

/// Returns what an open page sends as `Authorization`, up to the `401` that ends it.
pub(crate) async fn authorizations(page: &mut EnginePage) -> Vec<String> {
    page.is_open().await;
    page.passes().await;
    page.rig.faults.set("401");
    page.rig.wire.cut();
    page.closes_with(401).await;
    page.rig.faults.asked().into_iter().map(|it| it.authorization).collect()
}

async fn token_is_renewed_once(engine: Engine) {
    let script = "let tokens = 0;
        const headers = async isRenewed => ({ authorization: `${isRenewed} ${++tokens}` });
        open({ headers });";
    let settings = fast();
    let Some(mut page) = EnginePage::open(engine, settings, script).await else { return };
    assert_eq!(authorizations(&mut page).await, ["false 1", "false 2", "true 3"]);
}

#[tokio::test]
async fn chromium_loses_nothing_in_an_outage_of_8_seconds() {
    outage_of_8_seconds_loses_nothing(Engine::ChromiumAlone).await;
}

#[tokio::test]
async fn chromium_loses_nothing_in_a_restart_after_5_seconds() {
    restart_after_5_seconds_loses_nothing(Engine::ChromiumAlone).await;
}

#[tokio::test]
async fn chromium_replaces_a_frozen_connection() {
    frozen_connection_is_replaced(Engine::ChromiumAlone).await;
}

#[tokio::test]
async fn chromium_polls_where_streams_are_held() {
    held_streams_become_polls(Engine::ChromiumAlone).await;
}

#[tokio::test]
async fn chromium_closes_the_stream_of_an_ended_topic() {
    ended_topic_closes_the_stream(Engine::ChromiumAlone).await;
}

#[tokio::test]
async fn chromium_closes_the_stream_at_a_log_out() {
    log_out_closes_the_stream(Engine::ChromiumAlone).await;
}

#[tokio::test]
async fn chromium_loses_nothing_behind_a_service_worker() {
    answering_service_worker_loses_nothing(Engine::ChromiumAlone).await;
}

#[tokio::test]
async fn chromium_holds_no_connection_for_pages_that_were_left() {
    pages_that_were_left_hold_no_connection(Engine::ChromiumAlone).await;
}

#[tokio::test]
async fn chromium_leaves_the_target_of_an_old_redirect() {
    redirect_that_is_over_leads_to_the_next_target(Engine::ChromiumAlone).await;
}

#[tokio::test]
async fn chromium_sends_a_post_once() {
    post_is_sent_once(Engine::ChromiumAlone).await;
}

#[tokio::test]
async fn chromium_renews_a_token_once() {
    token_is_renewed_once(Engine::ChromiumAlone).await;
}

/// A page that the browser loads ahead has no stream until its user sees it.
#[tokio::test]
async fn chromium_opens_no_stream_for_a_prerendered_page() {
    let script = "
        if (location.pathname === '/page/1') {
            report(`loaded ${document.prerendering}`);
            open().addEventListener('open', () => report(`open ${document.prerendering}`), { once: true });
        } else {
            const source = open();
            source.onmessage = () => { location.href = '/page/1'; };
            const rules = document.createElement('script');
            rules.type = 'speculationrules';
            rules.text = JSON.stringify({ prerender: [{ urls: ['/page/1'], eagerness: 'immediate' }] });
            document.head.append(rules);
        }";
    let page = EnginePage::open(Engine::ChromiumAlone, fast(), script).await;
    let Some(mut page) = page else { return };
    page.is_open().await;
    assert_eq!(page.next_report().await, "loaded true");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(page.rig.faults.asked().len(), 1, "requests of a prerendered page");
    page.rig.publish("go").await;
    assert_eq!(page.next_report().await, "open false");
}

/// A tab in front hides the page.
#[tokio::test]
async fn chromium_closes_the_stream_of_a_hidden_page() {
    let script = "
        const source = open({ hidden: 500 });
        source.addEventListener('message', ({ data }) => {
            if (data !== '1') return;
            const front = window.open('/tower-sse.js');
            setTimeout(() => front.close(), 4000);
        });";
    let page = EnginePage::open(Engine::ChromiumAlone, fast(), script).await;
    let Some(mut page) = page else { return };
    page.is_open().await;
    page.passes().await;
    until(|| page.rig.running().hub.stats().subscribers == 0).await;
    page.publish(2).await;
    page.shows_after(1).await;
    assert_eq!(page.rig.faults.asked().len(), 2);
}

async fn each_scene(engine: Engine) {
    println!("outage_of_8_seconds_loses_nothing");
    outage_of_8_seconds_loses_nothing(engine).await;
    println!("restart_after_5_seconds_loses_nothing");
    restart_after_5_seconds_loses_nothing(engine).await;
    println!("frozen_connection_is_replaced");
    frozen_connection_is_replaced(engine).await;
    println!("held_streams_become_polls");
    held_streams_become_polls(engine).await;
    println!("ended_topic_closes_the_stream");
    ended_topic_closes_the_stream(engine).await;
    println!("log_out_closes_the_stream");
    log_out_closes_the_stream(engine).await;
    println!("answering_service_worker_loses_nothing");
    answering_service_worker_loses_nothing(engine).await;
    println!("pages_that_were_left_hold_no_connection");
    pages_that_were_left_hold_no_connection(engine).await;
    println!("redirect_that_is_over_leads_to_the_next_target");
    redirect_that_is_over_leads_to_the_next_target(engine).await;
    println!("post_is_sent_once");
    post_is_sent_once(engine).await;
    println!("token_is_renewed_once");
    token_is_renewed_once(engine).await;
}

#[tokio::test]
#[ignore = "needs Firefox: `.ci/slow engines`"]
async fn firefox_lives_through_each_scene() {
    each_scene(Engine::Firefox).await;
}

#[tokio::test]
#[ignore = "needs WebKitGTK: `.ci/slow engines`"]
async fn webkit_lives_through_each_scene() {
    each_scene(Engine::WebKitGtk).await;
}
