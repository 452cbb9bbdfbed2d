//! Other layers around `SseLayer` and inside of it, each driven over a real socket.

use std::future::{Future, IntoFuture};
use std::{collections::BTreeSet, io, net::SocketAddr, time::Duration};

use axum::{Router, routing::get, serve::ListenerExt};
use futures_util::future::join_all;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use tower_sse::{Heartbeat, SseLayer};

use crate::support::{Sources, client, listen, read_bytes, soon};

/// Where the other layer stands, and whether one `ServiceBuilder` has both layers or the router
/// gets them one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    OutsideInOneBuilder,
    Outside,
    InsideInOneBuilder,
    Inside,
}

impl Place {
    pub(crate) const ALL: [Self; 4] =
        [Self::OutsideInOneBuilder, Self::Outside, Self::InsideInOneBuilder, Self::Inside];
}

/// Adds the other layer, at the [`Place`], and the `SseLayer` to the routes.
pub(crate) type Compose = fn(Place, Router, SseLayer) -> Router;

/// Returns a [`Compose`] of the layer that `$layer` makes anew each time. `boxed` is for a layer
/// that does not compile directly around `SseLayer`: a layer in between boxes the body.
#[macro_export]
macro_rules! compose {
    ($layer:expr) => {
        compose!($layer, tower::layer::util::Identity::new())
    };
    (boxed $layer:expr) => {
        compose!(
            $layer,
            tower_http::map_response_body::MapResponseBodyLayer::new(axum::body::Body::new)
        )
    };
    ($layer:expr, $between:expr) => {
        |place, routes: axum::Router, sse: tower_sse::SseLayer| {
            use $crate::middleware::Place;
            let builder = tower::ServiceBuilder::new();
            match place {
                Place::OutsideInOneBuilder => {
                    routes.layer(builder.layer($layer).layer($between).layer(sse))
                }
                Place::Outside => routes.layer(sse).layer($layer),
                Place::InsideInOneBuilder => routes.layer(builder.layer(sse).layer($layer)),
                Place::Inside => routes.layer($layer).layer(sse),
            }
        }
    };
}

/// The interval of heartbeats, and the number of heartbeats that a silent stream must deliver. The
/// timeout of a layer must be longer than one `INTERVAL` and shorter than `HEARTBEATS` intervals.
const INTERVAL: Duration = Duration::from_millis(100);
const HEARTBEATS: usize = 15;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Refused(StatusCode),
    /// The head came only after the stream's end.
    Held,
    Streamed(Streamed),
}

/// What was seen of streams that were neither refused nor held.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Streamed {
    headers: BTreeSet<(String, String)>,
    silence: Silence,
    /// Whether the client sees a clean end if the source ends, if it fails, and at a shutdown.
    ends: [bool; 3],
    /// Whether the stream is dropped soon after its client leaves. See [`Control::soon`].
    leaves: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Silence {
    Heartbeats,
    Nothing,
    Cut,
}

/// How many control streams must send their first event, and how much time must pass, until the
/// test gives up on the stream that it observes. Control streams are counted because a busy machine
/// delays them too.
const ROUNDS: usize = 20;
const LATENESS: Duration = Duration::from_millis(200);

/// A server without the other layer, and what was seen of its streams, to compare with.
pub(crate) struct Control {
    address: SocketAddr,
    without: Seen,
}

impl Control {
    pub(crate) async fn start() -> Self {
        let (app, mut sources) = application(Router::layer);
        let address = Server::start(app.0, app.1).await.address;
        tokio::spawn(async move {
            loop {
                let source = sources.next().await;
                tokio::spawn(async move {
                    source.send_if_open("one");
                    source.dropped().await;
                });
            }
        });
        let mut control = Self { address, without: Seen::Held };
        control.without = observe(&control, Router::layer).await;
        assert!(matches!(control.without, Seen::Streamed(_)));
        control
    }

    /// Awaits `future`. Gives up once [`ROUNDS`] streams without the other layer, one after
    /// another, have sent their first event, and [`LATENESS`] has passed.
    async fn soon<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let control = async {
            let start = Instant::now();
            let mut rounds = 0;
            while rounds < ROUNDS || start.elapsed() < LATENESS {
                let mut body = open(self.address).await.into_body();
                soon(body.frame()).await.unwrap().unwrap();
                rounds += 1;
            }
        };
        tokio::select! {
            biased;
            output = future => Some(output),
            () = control => None,
        }
    }

    /// Reads [`HEARTBEATS`] frames of `body`. Gives up once a stream without the other layer has
    /// delivered twice as many.
    async fn heartbeats(&self, body: &mut Incoming) -> Silence {
        let mut own = open(self.address).await.into_body();
        let both = async {
            // The first frame is an event.
            count(&mut own, 1 + 2 * HEARTBEATS).await;
        };
        tokio::select! {
            biased;
            is_whole = count(body, HEARTBEATS) => {
                if is_whole { Silence::Heartbeats } else { Silence::Cut }
            }
            () = both => Silence::Nothing,
        }
    }
}

/// Reads this number of frames. Returns `false` if the body ends or fails before.
async fn count(body: &mut Incoming, frames: usize) -> bool {
    for _ in 0..frames {
        if !matches!(body.frame().await, Some(Ok(_))) {
            return false;
        }
    }
    true
}

/// Opens a stream, with the request headers that the tested layers look at.
async fn open(address: SocketAddr) -> Response<Incoming> {
    let headers = [("accept", "text/event-stream"), ("accept-encoding", "gzip")];
    client::get(address, "/events", &headers).await
}

fn application(
    compose: impl FnOnce(Router, SseLayer) -> Router,
) -> ((Router, CancellationToken), Sources) {
    let (sources, open) = Sources::new();
    // The source keeps no extensions of the request: some layers wait until these are dropped.
    let events = async move || tower_sse::response(open(Request::new(()).into_parts().0));
    let shutdown = CancellationToken::new();
    let sse = SseLayer::new().heartbeat(Heartbeat::every(INTERVAL)).shutdown(shutdown.clone());
    ((compose(Router::new().route("/events", get(events)), sse), shutdown), sources)
}

struct Server {
    address: SocketAddr,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    async fn start(app: Router, shutdown: CancellationToken) -> Self {
        let (listener, address) = listen().await;
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
        // Limiters ask for the client's address.
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let serve = axum::serve(listener, app).with_graceful_shutdown(shutdown.cancelled_owned());
        Self { address, task: tokio::spawn(serve.into_future()) }
    }
}

/// If a layer adds more headers than this, the table has their number instead of their names.
const MOST_HEADERS: usize = 5;

impl Seen {
    /// Describes how `self` differs from `without`, which was seen without the other layer.
    pub(crate) fn differences(&self, without: &Self) -> String {
        let (this, without) = match (self, without) {
            (Self::Streamed(this), Self::Streamed(without)) => (this, without),
            (Self::Refused(status), _) => return format!("answers `{}`", status.as_u16()),
            _ => return "**no head until the stream ends**".to_owned(),
        };
        let mut differences = Vec::new();
        for (name, value) in this.headers.difference(&without.headers) {
            differences.push(match &**name {
                "cache-control" | "content-encoding" | "vary" => format!("`{name}: {value}`"),
                _ => format!("`{name}`"),
            });
        }
        if differences.len() > MOST_HEADERS {
            differences = vec![format!("{} headers", differences.len())];
        }
        for (name, _) in without.headers.difference(&this.headers) {
            if !this.headers.iter().any(|(other, _)| other == name) {
                differences.push(format!("no `{name}`"));
            }
        }
        match this.silence {
            Silence::Heartbeats => {}
            Silence::Nothing => differences.push("**no heartbeats**".to_owned()),
            Silence::Cut => differences.push("**silence is cut**".to_owned()),
        }
        let ends = this.ends.iter().zip(without.ends);
        for ((&is_clean, was_clean), end) in ends.zip(["an end", "an error", "a shutdown"]) {
            if is_clean != was_clean {
                let seen = if is_clean { "a clean end" } else { "a cut" };
                differences.push(format!("**{end} is {seen}**"));
            }
        }
        if !this.leaves {
            differences.push("**a client that leaves is not noticed**".to_owned());
        }
        if differences.is_empty() { "same".to_owned() } else { differences.join(", ") }
    }
}

/// Describes how streams with the other layer, at each of [`Place::ALL`], differ from those of
/// `control`.
pub(crate) async fn differences(control: &Control, compose: Compose) -> [String; 4] {
    let seen =
        Place::ALL.map(|place| observe(control, move |routes, sse| compose(place, routes, sse)));
    let seen = join_all(seen).await.into_iter().map(|seen| seen.differences(&control.without));
    seen.collect::<Vec<_>>().try_into().expect("one for each place")
}

pub(crate) async fn observe(
    control: &Control,
    compose: impl FnOnce(Router, SseLayer) -> Router,
) -> Seen {
    let ((app, shutdown), mut sources) = application(compose);
    let server = Server::start(app, shutdown.clone()).await;
    let mut head = tokio::spawn(open(server.address));
    let Some(source) = control.soon(sources.next()).await else {
        return Seen::Refused(soon(head).await.unwrap().status());
    };
    source.send("one");
    let first = async {
        let response = (&mut head).await.unwrap();
        let (head, mut body) = response.into_parts();
        assert_eq!(head.status, StatusCode::OK);
        body.frame().await.expect("an event").unwrap();
        (head.headers, body)
    };
    let Some((headers, mut silent)) = control.soon(first).await else {
        source.end();
        soon(head).await.unwrap();
        return Seen::Held;
    };
    let mut next = async || {
        let mut body = soon(open(server.address)).await.into_body();
        let source = sources.next().await;
        source.send("one");
        soon(body.frame()).await.unwrap().unwrap();
        (body, source)
    };
    let (body, ending) = next().await;
    ending.end();
    let ends = read_bytes(body).await.1.is_none();
    let (body, failing) = next().await;
    failing.fail(io::Error::other("broken"));
    let fails = read_bytes(body).await.1.is_none();
    let (body, left) = next().await;
    drop(body);
    let leaves = control.soon(left.dropped()).await.is_some();
    let silence = control.heartbeats(&mut silent).await;
    drop(silent);
    let (body, _open) = next().await;
    shutdown.cancel();
    let shuts_down = read_bytes(body).await.1.is_none();
    soon(server.task).await.unwrap().unwrap();

    let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
    let headers = headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    let headers = headers.filter(|(name, _)| name != "date").collect();
    Seen::Streamed(Streamed { headers, silence, ends: [ends, fails, shuts_down], leaves })
}
