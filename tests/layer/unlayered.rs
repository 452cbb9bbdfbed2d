//! A server that sends responses of the crate without a layer around them logs one warning. It logs
//! none with a layer, or if the program has built the response around a body of the crate.
//!
//! Each test runs itself again in a process of its own, because a process warns only once.

#![cfg(feature = "tracing")]

use axum::{body::Body, middleware::map_response};
use tokio_stream::wrappers::ReceiverStream;

use crate::*;

/// The variable that is set in the process in which a test runs its scenario.
const CHILD: &str = "TOWER_SSE_UNLAYERED";
const DONE: &str = "the scenario is done";

/// Runs the scenario of a test in a process of its own, and returns the lines about `SseLayer` that
/// it logs.
fn printed_by(scenario: impl Future<Output = ()>) -> Vec<String> {
    if env::var_os(CHILD).is_some() {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_writer(std::io::stderr)
            .with_ansi(false)
            .init();
        // The runtime has one thread, so that a mark that a layer leaves on the thread is noticed.
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(scenario);
        println!("{DONE}");
        process::exit(0);
    }
    let child = Command::new(env::current_exe().unwrap())
        .args([thread::current().name().unwrap(), "--exact", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let [output, errors] =
        [child.stdout, child.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.contains(DONE), "{output}{errors}");
    errors.lines().filter(|line| line.contains("SseLayer")).map(str::to_owned).collect()
}

#[track_caller]
fn assert_warns(times: usize, scenario: impl Future<Output = ()>) {
    let printed = printed_by(scenario);
    assert_eq!(printed.len(), times, "{printed:?}");
}

/// Reads the whole body of each path, over HTTP/1 and HTTP/2.
async fn read(app: Router, paths: &[&str]) -> String {
    let address = serve_axum(app).await;
    let mut bodies = String::new();
    for protocol in Protocol::BOTH {
        let mut connection = protocol.connect(address).await;
        for path in paths {
            let body = soon(connection.get(path).await.into_body().collect()).await.unwrap();
            bodies += str::from_utf8(&body.to_bytes()).unwrap();
        }
    }
    bodies
}

async fn events() -> impl IntoResponse {
    tower_sse::response(stream::iter([Event::from("one")]))
}

async fn with_options() -> impl IntoResponse {
    tower_sse::response(stream::iter([Event::from("one")]))
        .with_options(StreamOptions::new().terminator("[DONE]"))
}

#[test]
fn served_bodies_without_a_layer_warn_once_and_name_the_remedy() {
    let printed = printed_by(async {
        let app = Router::new().route("/a", get(events)).route("/b", get(with_options));
        assert_eq!(read(app, &["/a", "/b", "/a"]).await, "data: one\n\n".repeat(6));
    });
    assert_eq!(printed.len(), 1, "{printed:?}");
    assert!(printed[0].contains("`.layer(SseLayer::new())` after the routes"), "{printed:?}");
    assert!(printed[0].contains("WARN tower_sse"), "{printed:?}");
}

#[test]
fn route_after_the_layer_warns() {
    assert_warns(1, async {
        let app = Router::new().route("/a", get(events)).layer(SseLayer::new());
        let app = app.route("/b", get(events));
        assert_eq!(read(app, &["/a", "/b"]).await, "data: one\n\n".repeat(4));
    });
}

#[test]
fn panic_within_a_layer_hides_no_warning() {
    assert_warns(1, async {
        let panics = || async { panic!("a bug of the handler") as () };
        let app = Router::new().route("/", get(panics)).layer(SseLayer::new());
        let request = Request::new(Body::empty());
        assert!(tokio::spawn(app.oneshot(request)).await.unwrap_err().is_panic());
        read(Router::new().route("/", get(events)), &["/"]).await;
    });
}

#[test]
fn idle_stream_without_a_layer_warns_at_once() {
    assert_warns(1, async {
        let (polled, was_polled) = tokio::sync::oneshot::channel();
        let mut polled = Some(polled);
        let idle = stream::poll_fn(move |_| {
            polled.take().map(|polled| polled.send(()));
            std::task::Poll::<Option<Event>>::Pending
        });
        let mut idle = tower_sse::response(idle).into_body();
        tokio::spawn(async move { idle.frame().await.is_none() });
        soon(was_polled).await.unwrap();
    });
}

/// On some routes, middleware inside of the layer reads the body, or passes it on from a task.
#[test]
fn bodies_within_a_layer_never_warn() {
    assert_warns(0, async {
        let bare = SseLayer::new().layer(service_fn(|_: Request<Body>| async {
            Ok::<_, Infallible>(stream::iter([Event::from("one")]))
        }));
        let response = SseLayer::new().layer(service_fn(|_: Request<Body>| async {
            Ok::<_, Infallible>(Response::new(stream::iter([Event::from("one")])))
        }));
        let app = Router::new()
            .route("/events", get(events))
            .route("/options", get(with_options))
            .route("/late", get(late))
            .route("/whole", get(events).layer(map_response(buffered)))
            .route("/first", get(events).layer(map_response(primed)))
            .route("/task", get(events).layer(map_response(relayed)))
            .layer(CompressionLayer::new())
            .layer(SseLayer::new())
            .route_service("/bare", bare)
            .route_service("/response", response)
            // A second layer lets the streams of the inner one pass.
            .layer(SseLayer::new());
        let paths =
            ["/events", "/options", "/late", "/whole", "/first", "/task", "/bare", "/response"];
        let read = read(app, &paths).await;
        assert_eq!(read.matches("data: one").count(), 16, "{read}");
    });
}

async fn buffered(response: axum::response::Response) -> axum::response::Response {
    let (head, body) = response.into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes().into())
}

/// Waits for the first frame, as middleware does that turns an early error into a status.
async fn primed(response: axum::response::Response) -> axum::response::Response {
    let (head, body) = response.into_parts();
    let mut frames = body.into_data_stream();
    let first = frames.next().await;
    Response::from_parts(head, Body::from_stream(stream::iter(first).chain(frames)))
}

async fn relayed(response: axum::response::Response) -> axum::response::Response {
    let (head, body) = response.into_parts();
    let (sender, frames) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        let mut data = body.into_data_stream();
        while let Some(data) = data.next().await {
            sender.send(data).await.unwrap();
        }
    });
    Response::from_parts(head, Body::from_stream(ReceiverStream::new(frames)))
}

/// Answers with a body that yields a frame of its own before it polls a body of the crate.
async fn late() -> impl IntoResponse {
    let prelude = Ok(Frame::data(Bytes::from_static(b": prelude\n")));
    let events = tower_sse::response(stream::iter([Event::from("one")])).into_body();
    let body =
        stream::iter([prelude]).chain(events.into_data_stream().map(|data| data.map(Frame::data)));
    event_stream(Body::new(StreamBody::new(body)))
}

#[test]
fn response_of_the_program_or_body_that_a_test_reads_never_warns() {
    assert_warns(0, async {
        // The program has set the header itself, and has left out the layer on purpose.
        let raw = || async {
            event_stream(Body::new(EventBody::new(stream::iter([Event::from("one")]))))
        };
        let app = Router::new().route("/", get(raw));
        assert_eq!(read(app, &["/"]).await, "data: one\n\n".repeat(2));

        let app = Router::new().route("/", get(with_options));
        let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
        for body in [with_options().await.into_response().into_body(), response.into_body()] {
            assert_eq!(body.collect().await.unwrap().to_bytes(), "data: one\n\n");
        }
    });
}

#[cfg(feature = "runs")]
mod runs {
    use tower_sse::runs::{RunKey, Runs};

    use super::SseLayer;
    use super::{Body, Request, Router, assert_warns, events, get, map_response, primed, read};

    fn recorded(app: Router) -> Router {
        let key = |request: &Request<Body>| Some(RunKey::new("ann", request.uri().path()));
        app.layer(Runs::new().layer(key))
    }

    #[test]
    fn answer_warns_without_a_layer() {
        assert_warns(1, async {
            read(recorded(Router::new().route("/", get(events))), &["/"]).await;
        });
    }

    /// Neither the call, which has a task of its own, nor the two answers warn. The second answer
    /// is a replay. On one route, middleware within the run reads the body.
    #[test]
    fn run_within_a_layer_never_warns() {
        assert_warns(0, async {
            let first = get(events).layer(map_response(primed));
            let app = recorded(Router::new().route("/", get(events)).route("/first", first));
            let read = read(app.layer(SseLayer::new()), &["/", "/first"]).await;
            assert_eq!(read.matches("data: one").count(), 4, "{read}");
        });
    }
}
