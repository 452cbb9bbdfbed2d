use async_stream::stream;
use axum::middleware::{Next, from_fn};
use axum::{extract::Request, response::Response};

use super::*;

/// More streams than the faults have open at a time.
const PLACES: usize = 64;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    /// Streams have their number as a subject.
    pub(crate) streams: Streams,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts the server that most faults share.
    pub(crate) async fn start_limited(ledger: &Arc<Ledger>) -> Self {
        let heartbeat = Heartbeat::every(Duration::from_millis(10));
        Self::start(ledger, ledger.layer().heartbeat(heartbeat).max_streams(PLACES)).await
    }

    /// Starts a server that shuts down gracefully, streams included, when `shutdown` is cancelled.
    pub(crate) async fn start(ledger: &Arc<Ledger>, layer: SseLayer) -> Self {
        let (shutdown, streams) = (CancellationToken::new(), Streams::new());
        let app = Router::new()
            .route("/{what}/{events}/{id}", get(answer))
            .layer(layer.streams(&streams).shutdown(shutdown.clone()))
            .layer(from_fn(drop_unpolled))
            .with_state(Arc::clone(ledger));
        let (listener, address) = listen().await;
        let listener = listener.tap_io(|io| {
            io.set_nodelay(true).unwrap();
            // A small buffer, so that a client that does not read fills it soon.
            SockRef::from(&*io).set_send_buffer_size(16 * 1024).unwrap();
        });
        let stopped = shutdown.clone().cancelled_owned();
        let task = tokio::spawn(async move {
            axum::serve(listener, app).with_graceful_shutdown(stopped).await.unwrap();
        });
        Self { address, shutdown, streams, task }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        soon(self.task).await.unwrap();
    }

    /// Asserts that all permits are free again, by requesting as many streams as there are permits
    /// and one more.
    pub(crate) async fn assert_has_its_places_back(&self, ledger: &Ledger) {
        let mut peers = Vec::new();
        for place in 0..=PLACES {
            let id = ledger.open_account();
            let mut peer = Peer::connect(self.address, Protocol::BOTH[place % 2]).await;
            peer.request("GET", &format!("/silence/0/{id}")).await;
            assert_eq!(peer.head().await, place < PLACES, "{place} of {PLACES} places");
            peers.push((id, peer));
        }
        for (place, (id, peer)) in peers.into_iter().enumerate() {
            _ = peer.leave(Leave::Fin).await;
            let outcome = if place < PLACES {
                Outcome::Closed(CloseReason::Disconnected)
            } else {
                Outcome::NotOpened
            };
            ledger.settle(id, outcome).await;
        }
    }
}

async fn answer(
    State(ledger): State<Arc<Ledger>>,
    Path((what, events, id)): Path<(String, usize, u64)>,
    subjects: Subjects,
    request: Request,
) -> Response {
    subjects.add(id.to_string());
    let disconnect = request.extensions().get::<Disconnect>().expect("a token").clone();
    ledger.arrived(id, disconnect);
    let mut options = ledger.options(id);
    let response = match &*what {
        "waiting" => {
            let _source = source(&ledger, events, "silence");
            return pending().await;
        }
        "mid_event" => {
            let guard = ledger.guard();
            let half = Frame::data(Bytes::from_static(b"data: half of an event\n"));
            let frames = stream::iter([Ok::<_, Infallible>(half)]).chain(stream::pending());
            event_stream(Body::new(StreamBody::new(frames.inspect(move |_| _ = &guard))))
        }
        _ => {
            let then = match &*what {
                "aged" => {
                    options = options.max_age(MaxAge::new(Duration::from_millis(20)).jitter(1.0));
                    if id % 2 == 0 { "silence" } else { "busy" }
                }
                "polled" => {
                    options = options.long_poll(Duration::from_millis(20));
                    if id % 2 == 0 { "silence" } else { "busy" }
                }
                "unpolled" => "busy",
                then => then,
            };
            tower_sse::response(source(&ledger, events, then)).map(Body::new)
        }
    };
    response.with_options(options)
}

/// Replaces some responses in an outer layer, which drops their bodies unpolled.
async fn drop_unpolled(request: Request, next: Next) -> Response {
    let drops = request.uri().path().starts_with("/unpolled/");
    let response = next.run(request).await;
    if drops { Response::new(Body::empty()).with_status(502) } else { response }
}

pub(crate) const EVENT: &str = "data: x\n\n";

/// Returns a source of `events` events that then does what `then` says.
pub(crate) fn source(
    ledger: &Arc<Ledger>,
    events: usize,
    then: &str,
) -> impl Stream<Item = io::Result<Encoded>> + Send + use<> {
    let (guard, then) = (ledger.guard(), then.to_owned());
    stream! {
        let _guard = guard;
        for _ in 0..events {
            yield Ok(Event::from("x").into());
        }
        match &*then {
            "silence" => pending().await,
            "busy" => {
                let mut ticks = interval(Duration::from_millis(1));
                loop {
                    ticks.tick().await;
                    yield Ok(Event::from("x").into());
                }
            }
            "end" => {}
            "fail" => yield Err(io::Error::other("disk full")),
            "cancel" => yield Err(io::Error::other(cancelled_task().await)),
            // `panic!` would call the hook, which would print each of thousands of panics.
            "panic" => resume_unwind(Box::new("the source panics")),
            _ => panic!("no source does {then}"),
        }
    }
}
