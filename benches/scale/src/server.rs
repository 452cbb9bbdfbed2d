use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::{convert::Infallible, hint::black_box, io, pin::Pin, time::Duration, time::Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, header};
use http_body::{Body, Frame};
use hyper::{body::Incoming, server::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use nix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, service_fn};
use tower_sse::streams::{Streams, Subjects};
use tower_sse::{BoxError, Event, SseLayer, hub::Hub};

use crate::{MARK, Subject};

/// Longer than a measurement, so that no heartbeat is in the figures.
const HEARTBEAT: Duration = Duration::from_secs(3600);
const TOPIC: &str = "news";

/// The server that is measured. It obeys the orders of the measuring process.
#[derive(Clone)]
pub struct Server {
    hub: Hub,
    shutdown: CancellationToken,
    streams: Streams,
    bare: Arc<Bare>,
    holds: Arc<Holds>,
}

/// How long the thread was held, in nanoseconds.
#[derive(Default)]
struct Holds {
    /// The longest call of `subscribe`, by the wall clock: reading the processor time twice would
    /// take a twentieth of the time of an opening.
    subscribe: AtomicU64,
    /// The longest processor time between two turns of a task that sleeps for a millisecond.
    turns: AtomicU64,
}

/// The state that all bodies of bare hyper share.
#[derive(Default)]
struct Bare {
    waiting: Mutex<Vec<Waker>>,
    events: AtomicU64,
    has_ended: AtomicBool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            hub: Hub::new(),
            shutdown: CancellationToken::new(),
            streams: Streams::new(),
            bare: Arc::default(),
            holds: Arc::default(),
        }
    }
}

impl Server {
    /// Serves one subject. The first connection has the orders; all others are HTTP/2. If
    /// `is_counted` is set, no task watches the server's thread.
    pub async fn serve(
        self,
        subject: Subject,
        is_counted: bool,
        listener: TcpListener,
    ) -> io::Result<()> {
        let (orders, _) = listener.accept().await?;
        tokio::spawn(self.clone().obey(subject, orders));
        if !is_counted {
            tokio::spawn(Arc::clone(&self.holds).watch());
        }
        self.accept(subject, listener).await
    }

    pub async fn accept(self, subject: Subject, listener: TcpListener) -> io::Result<()> {
        if subject == Subject::Bare {
            let bare = self.bare;
            let service = service_fn(move |_: Request<Incoming>| {
                let mut response = Response::new(BareBody { bare: Arc::clone(&bare), seen: 0 });
                // The headers that the layer sets.
                for (name, value) in [
                    (header::CONTENT_TYPE, "text/event-stream"),
                    (header::CACHE_CONTROL, "no-cache, no-transform"),
                    (HeaderName::from_static("x-accel-buffering"), "no"),
                    (HeaderName::from_static("incremental"), "?1"),
                ] {
                    response.headers_mut().insert(name, HeaderValue::from_static(value));
                }
                async { Ok::<_, Infallible>(response) }
            });
            return accept(listener, service).await;
        }
        let mut layer = SseLayer::new()
            .heartbeat(HEARTBEAT)
            .shutdown(self.shutdown.clone())
            .max_streams(2_000_000)
            .on_close(|_| {});
        if subject == Subject::Full {
            layer = layer.streams(&self.streams);
        }
        let clients = Arc::new(AtomicU64::new(0));
        let (hub, holds) = (self.hub, self.holds);
        let service = service_fn(move |request: Request<Incoming>| {
            let client = format!("client:{}", clients.fetch_add(1, Relaxed));
            if let Some(subjects) = request.extensions().get::<Subjects>() {
                subjects.add(&*client);
            }
            let start = Instant::now();
            let subscription = hub.subscribe([TOPIC, &client]).resume(None);
            holds.subscribe.fetch_max(start.elapsed().as_nanos() as u64, Relaxed);
            let response = tower_sse::response(subscription);
            async { Ok::<_, Infallible>(response) }
        });
        accept(listener, layer.layer(service)).await
    }

    pub fn publish(&self, subject: Subject) -> io::Result<()> {
        if subject == Subject::Bare {
            self.bare.publish();
        } else {
            let event = Event::new().data(TEXT);
            _ = self.hub.publish_now(TOPIC, event).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Obeys one order a line and answers each with a number.
    async fn obey(self, subject: Subject, mut orders: TcpStream) -> io::Result<()> {
        let (read, mut write) = orders.split();
        let mut lines = BufReader::new(read).lines();
        while let Some(line) = lines.next_line().await? {
            let start = thread_ns();
            let answer = match &*line {
                "publish" => {
                    self.publish(subject)?;
                    None
                }
                "stats" => {
                    _ = self.hub.stats();
                    None
                }
                "cancel" => {
                    self.bare.end();
                    self.shutdown.cancel();
                    None
                }
                "step" => {
                    begin_step();
                    None
                }
                "close all" => {
                    self.streams.close_all();
                    None
                }
                "subscribe" => Some(self.holds.subscribe.load(Relaxed)),
                // The longest turn since the last order of this name.
                "turns" => Some(self.holds.turns.swap(0, Relaxed)),
                other => return Err(io::Error::other(format!("no order {other}"))),
            };
            let answer = answer.unwrap_or_else(|| thread_ns() - start);
            write.write_all(format!("{answer}\n").as_bytes()).await?;
        }
        Ok(())
    }
}

/// Marks a step: valgrind starts counting from zero here.
#[inline(never)]
pub fn begin_step() {
    black_box(());
}

/// An event's data, of 64 bytes.
const TEXT: &str = "\u{1}an event that all of very many clients receive at the same time";

impl Holds {
    async fn watch(self: Arc<Self>) {
        let mut last = thread_ns();
        loop {
            sleep(Duration::from_millis(1)).await;
            let now = thread_ns();
            self.turns.fetch_max(now - last, Relaxed);
            last = now;
        }
    }
}

fn thread_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock that Linux has");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

async fn accept<S, B>(listener: TcpListener, service: S) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    loop {
        let (io, _) = listener.accept().await?;
        io.set_nodelay(true)?;
        let (io, service) = (TokioIo::new(io), TowerToHyperService::new(service.clone()));
        let builder = http2::Builder::new(TokioExecutor::new());
        drop(tokio::spawn(builder.serve_connection(io, service)));
    }
}

impl Bare {
    fn publish(&self) {
        self.events.fetch_add(1, Relaxed);
        self.wake();
    }

    /// Ends all bodies, as a shutdown does. Connections that a client drops would cost less.
    fn end(&self) {
        self.has_ended.store(true, Relaxed);
        self.wake();
    }

    fn wake(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock().expect("no panic"));
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// A body that has each event once.
struct BareBody {
    bare: Arc<Bare>,
    seen: u64,
}

impl Body for BareBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.seen < self.bare.events.load(Relaxed) {
            self.seen += 1;
            const EVENT: &[u8] =
                b"id: 1-1\ndata: \x01an event that all of very many clients receive at the same time\n\n";
            assert!(EVENT.contains(&MARK));
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(EVENT)))));
        }
        if self.bare.has_ended.load(Relaxed) {
            return Poll::Ready(None);
        }
        self.bare.waiting.lock().expect("no panic").push(cx.waker().clone());
        Poll::Pending
    }
}
