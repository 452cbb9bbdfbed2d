//! The guide's page that switches to long polls, behind hops that buffer or cut streams.

use std::mem;

use axum::body::Body;
use axum::extract::Request as AxumRequest;
use axum::routing::get;
use http::header::TRANSFER_ENCODING;

use crate::engine::{Engine, EnginePage};
use crate::*;

const PAGE: &str = include_str!("../../../docs/guide/clients.md");
const EVENTS: usize = 100;

/// What a hop does with the answers of the server.
#[derive(Clone, Copy, Debug)]
enum Hop {
    /// Holds each answer until its end, with its head.
    HoldsAll,
    /// Sends the head, and the body in blocks of 4 KiB.
    HoldsBlocks,
    /// Cuts each answer after three seconds.
    Kills,
    /// Passes everything through an nginx that buffers.
    Nginx,
}

/// Returns the guide's page with shorter times.
fn script() -> String {
    let code = |text: &str| {
        let mut blocks = PAGE.split("```js\n").skip(1);
        let block = blocks.find(|block| block.split_once("```").unwrap().0.contains(text));
        block.expect("a block").split_once("```").unwrap().0
    };
    let (_, reopen) = code("async function reopen").split_once("async function").unwrap();
    let reopen = reopen.split_once("\n}").unwrap().0;
    let page = format!("{}\nasync function{reopen}\n}}", code("poll=8"));
    let show = "const show = text => report(text), reload = () => show('gap');\n";
    let mut page = format!("{{ {show}{page} }}");
    let times = [("15_000", "2_000"), ("5_000", "2_000"), ("1000)", "100)"), ("poll=8", "poll=1")];
    for (from, to) in times {
        assert!(page.contains(from), "{page}");
        page = page.replace(from, to);
    }
    page
}

async fn events(State(hub): State<Hub>, last: Option<LastEventId>) -> impl IntoResponse {
    hub.subscribe_to("news").resume(last).response()
}

/// Passes requests to the server and passes its answers back as this kind of hop does.
fn hop(kind: Hop, server: SocketAddr) -> Router {
    Router::new().fallback(async move |request: AxumRequest| {
        let (parts, _) = request.into_parts();
        let mut connection = Protocol::Http1.connect(server).await;
        let answer = connection.send(Request::from_parts(parts, Full::default())).await;
        let (mut head, mut body) = answer.into_parts();
        head.headers.remove(TRANSFER_ENCODING);
        let body = match kind {
            Hop::HoldsAll => Body::from(body.collect().await.unwrap().to_bytes()),
            Hop::HoldsBlocks => Body::from_stream(stream! {
                let _connection = connection;
                let mut held = Vec::new();
                while let Some(Ok(frame)) = body.frame().await {
                    held.extend(frame.into_data().unwrap());
                    if held.len() >= 4096 {
                        let rest = held.split_off(4096);
                        yield Ok::<_, Infallible>(mem::replace(&mut held, rest));
                    }
                }
                yield Ok(held);
            }),
            Hop::Kills => Body::from_stream(stream! {
                let _connection = connection;
                let deadline = Instant::now() + Duration::from_secs(3);
                while let Ok(Some(Ok(frame))) = tokio::time::timeout_at(deadline, body.frame()).await {
                    yield Ok(frame.into_data().unwrap());
                }
                yield Err("killed");
            }),
            Hop::Nginx => Body::from_stream(stream! {
                let _connection = connection;
                while let Some(Ok(frame)) = body.frame().await {
                    yield Ok::<_, Infallible>(frame.into_data().unwrap());
                }
            }),
        };
        Response::from_parts(head, body)
    })
}

/// Publishes events for a page behind this hop. The page must show each of them once, in order.
async fn shows_every_event_once(engine: Engine, kind: Hop) {
    let (hub, stats) = (Hub::new(), Stats::new());
    let layer = SseLayer::new().stats(&stats).last_event_id_query("last").long_poll_query("poll");
    let heartbeat = Heartbeat::every(Duration::from_secs(2)).event("heartbeat", "{}");
    let app = Router::new().route("/events", get(events)).with_state(hub.clone());
    let mut server = serve_axum(app.layer(layer.heartbeat(heartbeat))).await;
    let mut proxy = None;
    if matches!(kind, Hop::Nginx) {
        let Some(program) = find_nginx() else { return };
        let (upstream, buffers) =
            (format!("server {server};"), "proxy_ignore_headers X-Accel-Buffering;");
        server = proxy.insert(Proxy::nginx(&program, &upstream, buffers).await).address;
    }
    let Some(mut page) = EnginePage::open(engine, hop(kind, server), &script()).await else {
        return;
    };
    let answered = || {
        let closed = stats.snapshot().closed_by_reason;
        closed.iter().find(|(reason, _)| *reason == CloseReason::Answered).map_or(0, |it| it.1)
    };
    // Until the page has an id, it would miss events without a gap.
    let is_positioned = || match kind {
        Hop::Kills => stats.snapshot().open > 0,
        Hop::HoldsAll | Hop::HoldsBlocks | Hop::Nginx => answered() > 0,
    };
    until(is_positioned).await;
    for number in 0..EVENTS {
        hub.publish("news", number.to_string()).await.unwrap();
        if number % 10 == 9 {
            for shown in number - 9..=number {
                assert_eq!(page.next_report().await, shown.to_string(), "{engine:?}, {kind:?}");
            }
            until(|| stats.snapshot().open <= 1).await;
        }
        if matches!(kind, Hop::Kills) && number == EVENTS / 2 {
            let opened = stats.snapshot().opened;
            until(|| stats.snapshot().opened > opened).await;
        }
    }
    assert!(answered() >= 10 || matches!(kind, Hop::Kills), "{:?}", stats.snapshot());
}

async fn shows_every_event_once_behind_each_hop(engine: Engine) {
    for kind in [Hop::HoldsAll, Hop::HoldsBlocks, Hop::Kills, Hop::Nginx] {
        shows_every_event_once(engine, kind).await;
    }
}

#[tokio::test]
async fn chromium_receives_every_event_once_behind_hops_that_buffer() {
    shows_every_event_once_behind_each_hop(Engine::ChromiumAlone).await;
}

#[tokio::test]
#[ignore = "needs three engines: `.ci/slow engines`"]
async fn other_engines_receive_every_event_once_behind_hops_that_buffer() {
    shows_every_event_once_behind_each_hop(Engine::Firefox).await;
    shows_every_event_once_behind_each_hop(Engine::WebKitGtk).await;
}
