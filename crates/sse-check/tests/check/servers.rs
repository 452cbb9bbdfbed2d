//! Servers of common libraries. With usual settings, they fail no check.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::response::{Sse, sse};
use axum::{Router, routing::get};
use futures_util::{Stream, StreamExt};
use tokio::{process::Command, sync::Notify, time::interval};
use tokio_stream::wrappers::IntervalStream;
use tower_sse::{Event, Heartbeat, LastEventId, Retention, SseLayer, hub::Hub};

use crate::report::Report;
use crate::support::{Program, find, installed, listen, package, target};

async fn serve(app: Router) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
    address
}

async fn look(address: impl std::fmt::Display) -> Report {
    Report::of(&[&format!("http://{address}/"), "--for", "4s"]).await
}

fn ticks() -> impl Stream<Item = usize> {
    IntervalStream::new(interval(Duration::from_millis(300))).enumerate().map(|(n, _)| n)
}

#[tokio::test]
async fn axum_fails_nothing() {
    let events = || ticks().map(|n| Ok::<_, Infallible>(sse::Event::default().data(n.to_string())));
    let keep_alive = || sse::KeepAlive::new().interval(Duration::from_millis(100));
    let route = get(async move || Sse::new(events()).keep_alive(keep_alive()));
    let report = look(serve(Router::new().route("/", route)).await).await;
    assert_eq!(report.all("fail"), [""; 0], "{report}");
    assert_eq!(report.all("warning"), ["lines"], "{report}");
}

/// Looks at a topic with an event every 300 ms, the first one when the first stream begins. So no
/// event is published just when the second stream begins, 2 seconds later.
async fn look_at_hub(hub: Hub, layer: SseLayer) -> Report {
    let (publisher, began) = (hub.clone(), Arc::new(Notify::new()));
    let begin = Arc::clone(&began);
    tokio::spawn(async move {
        began.notified().await;
        let mut ticks = std::pin::pin!(ticks());
        while let Some(n) = ticks.next().await {
            publisher.publish("topic", Event::from(n.to_string())).await.unwrap();
        }
    });
    let route = get(async move |last: LastEventId| {
        begin.notify_one();
        hub.subscribe_to("topic").resume(last).response()
    });
    let layer = layer.heartbeat(Heartbeat::every(Duration::from_millis(100)));
    look(serve(Router::new().route("/", route).layer(layer)).await).await
}

#[tokio::test]
async fn sse_layer_passes_everything_and_resumes() {
    let report = look_at_hub(Hub::new(), SseLayer::new()).await;
    let not_checked = ["delay", "changes"];
    assert_eq!(report.all("not checked"), not_checked, "{report}");
    assert_eq!(report.all("pass").len(), 8, "{report}");
}

#[tokio::test]
async fn newest_values_and_reported_gaps_warn_and_refused_reconnection_fails() {
    for (retention, text) in [
        (Retention::latest(), "only the newest of"),
        (Retention::new().events(1), "a gap reports it"),
    ] {
        let hub = Hub::builder().retention(retention).build();
        let report = look_at_hub(hub, SseLayer::new()).await;
        report.expect_with("resumption", "warning", text);
    }
    let report = look_at_hub(Hub::new(), SseLayer::new().max_streams(1)).await;
    report.expect_with("resumption", "fail", "is refused");
    assert_eq!(report.all("fail"), ["resumption"], "{report}");
}

/// Looks at the server of a script that prints its port.
async fn look_at_script(mut command: Command, script: &str) -> Report {
    let mut program = Program::start(command.arg(script));
    let port = program.line().await.expect("a port");
    look(format!("127.0.0.1:{port}")).await
}

#[tokio::test]
async fn better_sse_fails_nothing() {
    let Some(node) = find(&["node", "nodejs"]) else { return };
    let Some(package) = package("better-sse") else { return };
    let script = "
        const { createServer } = require('http');
        const server = createServer(async (request, response) => {
            const { createSession } = await import(process.env.BETTER_SSE);
            const session = await createSession(request, response, { keepAlive: 100 });
            let n = 0;
            const timer = setInterval(() => session.push({ n: n++ }, 'tick'), 300);
            session.once('disconnected', () => clearInterval(timer));
        });
        server.listen(0, '127.0.0.1', () => console.log(server.address().port));
    ";
    let mut command = Command::new(node);
    command.env("BETTER_SSE", package.join("build/index.mjs")).arg("-e");
    let report = look_at_script(command, script).await;
    assert_eq!(report.all("fail"), [""; 0], "{report}");
}

#[tokio::test]
async fn sse_starlette_fails_nothing() {
    let Some(python) = find(&["python3"]) else { return };
    if installed("python/sse_starlette").is_none() {
        return;
    }
    let script = "
import asyncio, socket, uvicorn
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.routing import Route

async def ticks():
    for n in range(1000):
        yield {'data': n, 'event': 'tick'}
        await asyncio.sleep(0.3)

async def events(request):
    return EventSourceResponse(ticks(), ping=1)

listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], flush=True)
app = Starlette(routes=[Route('/', events)])
uvicorn.Server(uvicorn.Config(app, log_level='critical')).run(sockets=[listener])
";
    let mut command = Command::new(python);
    command.env("PYTHONPATH", target("python")).arg("-c");
    let report = look_at_script(command, script).await;
    assert_eq!(report.all("fail"), [""; 0], "{report}");
}
