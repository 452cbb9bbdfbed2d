//! Sends requests to the origin through a hop and records the answers.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use indicatif::ProgressBar;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::connection::{CONNECT_LIMIT, Request, Wire, address, connector, name};
use crate::origin::*;
use crate::recording::{End, Event, Recording, Stream, lock};
use crate::session::{Recorder, progress};

/// How long to wait for an answer's end after its script should be over.
const PATIENCE: Duration = Duration::from_secs(6);
/// An event that is held back for at least this long is late.
const HELD: Duration = Duration::from_millis(150);
/// How long a request may take to reach the origin.
const ARRIVAL: Duration = Duration::from_secs(4);
/// When the second of two streams of one address begins.
const APART: Duration = Duration::from_secs(1);
/// How often to look at a request's state.
const STEP: Duration = Duration::from_millis(5);

/// The options of `sse-check hop`.
#[derive(Debug, Args)]
pub(crate) struct HopOptions {
    /// An address at the proxy that leads to the origin
    #[arg(value_parser = address)]
    pub(crate) url: Uri,
    /// Where the proxy expects the origin. If nothing listens there, sse-check starts the origin
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) origin: String,
    /// How long to watch a silent stream, and to wait for the origin to notice that a client left
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) length: Duration,
    /// How many streams to open at the same time
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) streams: usize,
    #[command(flatten)]
    wire: Wire,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The answer to a request for a script, and what the origin reports about the request, or null if
/// it hasn't arrived.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) stream: Stream,
    pub(crate) seen: Value,
}

/// What was observed at a hop.
#[derive(Debug)]
pub(crate) struct Observed {
    /// The headers of the `GET` requests.
    pub(crate) sent: HeaderMap,
    pub(crate) events: Played,
    pub(crate) bare: Played,
    pub(crate) post: Played,
    pub(crate) http2: Played,
    /// Two streams of one address. The second one began a second after the first one.
    pub(crate) second: Played,
    pub(crate) late: Played,
    /// The answer that the origin ends with a FIN, and the one that it ends with a reset.
    pub(crate) cut: [Played; 2],
    /// The same over HTTP/2.
    pub(crate) cut_http2: [Played; 2],
    /// Long answers with the heads of `events` and of `bare`. `None` for a head with which the hop
    /// doesn't hold events back.
    pub(crate) fill: [Option<Played>; 2],
    pub(crate) idle: Played,
    /// What [`Observer::leave`] returns for a silent stream and for a stream with events.
    pub(crate) left: [Result<Duration, Duration>; 2],
    /// What [`Observer::open_together`] returns.
    pub(crate) streams: (usize, u16, bool),
    pub(crate) down: Stream,
}

struct Observer<'a> {
    hop: &'a HopOptions,
    get: Request,
    start: Instant,
    bar: ProgressBar,
    /// The id of the next request. Ids count from the current time, so they are new.
    id: Cell<u128>,
}

impl Played {
    /// Returns, in ascending order, the delays with which the events came after the origin wrote
    /// them. Subtracts the least delay of the head and the events, which is taken for the network's.
    pub(crate) fn lags(&self) -> Vec<Duration> {
        let Stream { recording, events, .. } = &self.stream;
        let lag = |it: &Event| {
            let number: usize = it.id.as_ref()?.parse().ok()?;
            let sent = self.seen["writes"][number].as_f64()?;
            let sent = Duration::try_from_secs_f64(sent / 1000.0).ok()?;
            Some(it.at.saturating_sub(recording.sent + sent))
        };
        let mut lags: Vec<_> = events.iter().filter_map(lag).collect();
        lags.sort_unstable();
        let head = recording.head.as_ref().map(|(at, _)| at.saturating_sub(recording.sent));
        let least = lags.iter().copied().chain(head).min().unwrap_or_default();
        lags.into_iter().map(|lag| lag - least).collect()
    }

    /// Returns whether all events came, most of them with a delay below [`HELD`].
    pub(crate) fn is_passed(&self) -> bool {
        let lags = self.lags();
        lags.len() == EVENTS.count && lags.get(lags.len() / 2).is_some_and(|median| *median < HELD)
    }
}

/// Observes a hop. The error is the message to print.
pub(crate) async fn observe(hop: &HopOptions) -> Result<Observed, String> {
    listen(&hop.origin).await?;
    let lines = ["cache-control: no-cache", "last-event-id: 7", "incremental: ?1"];
    let get = hop.wire.request(Method::GET, lines, String::new())?;
    let http2 = Some(Version::HTTP_2);
    let get_http2 = Request { version: http2, connector: connector(http2), ..get.clone() };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let bar = progress(hop.length + Duration::from_secs(25));
    let id = Cell::new(now.as_nanos());
    let observer = Observer { hop, get, start: Instant::now(), bar, id };
    let observed = observer.observe(get_http2).await;
    observer.bar.finish_and_clear();
    observed
}

/// Starts an origin unless one already listens at the address.
async fn listen(origin: &str) -> Result<(), String> {
    if !ask(origin, "ping.").await.is_some_and(|it| it["sse-check"] == "ping") {
        let listener = TcpListener::bind(origin).await;
        let listener = listener.map_err(|it| format!("no origin at {origin}, and no room: {it}"));
        tokio::spawn(serve(listener?));
    }
    Ok(())
}

/// Asks the origin a question directly, not through the hop.
async fn ask(origin: &str, question: &str) -> Option<Value> {
    let exchange = async {
        let mut stream = TcpStream::connect(origin).await.ok()?;
        let request = format!("GET /?{PARAMETER}{question} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    };
    timeout(ARRIVAL, exchange).await.ok()?
}

impl Observer<'_> {
    async fn observe(&self, get_http2: Request) -> Result<Observed, String> {
        let get = &self.get;
        let mut post = get.clone();
        (post.method, post.body) = (Method::POST, BODY.to_owned());
        post.headers.insert("content-type", HeaderValue::from_static("application/json"));
        self.bar.set_message("events");
        let (events, bare, post, http2) = tokio::join!(
            self.play(&EVENTS, get),
            self.play(&BARE, get),
            self.play(&EVENTS, &post),
            self.play(&EVENTS, &get_http2),
        );
        if events.seen.is_null() && bare.seen.is_null() {
            let answer = match (events.stream.recording.status(), &events.stream.recording.end) {
                (0, End::Cut(error)) => error.clone(),
                (0, _) => "no answer".to_owned(),
                (status, _) => format!("status {status}"),
            };
            let HopOptions { url, origin, .. } = self.hop;
            return Err(format!("{} does not lead to the origin at {origin}: {answer}", name(url)));
        }
        self.bar.set_message("ends");
        let (late, fin, reset, fill, fill_bare) = tokio::join!(
            self.play(&LATE, get),
            self.play(&FIN, get),
            self.play(&RESET, get),
            self.fill(&events, &FILL),
            self.fill(&bare, &FILL_BARE),
        );
        self.bar.set_message("silence, and clients that leave");
        // A hop may carry only five streams.
        let pairs = async {
            let second = self.play_twice(&EVENTS).await;
            (second, tokio::join!(self.play(&FIN, &get_http2), self.play(&RESET, &get_http2)))
        };
        let (idle, quiet, busy, (second, cut_http2)) =
            tokio::join!(self.play(&QUIET, get), self.leave(&QUIET), self.leave(&BUSY), pairs);
        self.bar.set_message("streams, and no server");
        // The hop may hold the streams of clients that have left.
        ask(&self.hop.origin, "cut.").await.ok_or("the origin does not answer")?;
        sleep(HELD).await;
        // A hop with health checks can take long to find a server that was down.
        let streams = self.open_together().await;
        ask(&self.hop.origin, "down.").await.ok_or("the origin does not answer")?;
        let down = self.play(&EVENTS, get).await.stream;
        // The next run needs the origin, which may be a process of its own.
        let began = Instant::now();
        while began.elapsed() < 6 * ARRIVAL && ask(&self.hop.origin, "ping.").await.is_none() {
            sleep(HELD).await;
        }
        let (fill, left) = ([fill, fill_bare], [quiet, busy]);
        let (cut, cut_http2, sent) = ([fin, reset], cut_http2.into(), get.headers.clone());
        Ok(Observed {
            sent,
            events,
            bare,
            post,
            http2,
            second,
            late,
            cut,
            cut_http2,
            fill,
            idle,
            left,
            streams,
            down,
        })
    }

    /// Sends a request for a script. Returns the request's id and the answer's recorder.
    fn begin(&self, script: &Script, request: &Request) -> (String, Recorder) {
        let id = self.id.replace(self.id.get() + 1).to_string();
        let recorder = self.begin_as(&id, script, request);
        (id, recorder)
    }

    fn begin_as(&self, id: &str, script: &Script, request: &Request) -> Recorder {
        let url = &self.hop.url;
        let separator = if url.query().is_some() { '&' } else { '?' };
        let asked = format!("{url}{separator}{PARAMETER}{}.{id}", script.name);
        let url = asked.parse().unwrap_or_else(|_| url.clone());
        Recorder::start(None, &url, request, None, self.start)
    }

    async fn seen(&self, id: &str) -> Value {
        let answer = ask(&self.hop.origin, &format!("seen.{id}")).await;
        answer.map_or(Value::Null, |mut it| it["seen"].take())
    }

    /// Waits until the answer has ended, `is_over` returns `true`, or `limit` has passed.
    async fn watch(&self, it: &Recorder, limit: Duration, is_over: impl Fn(&Recording) -> bool) {
        let began = Instant::now();
        while !it.task.is_finished() && !is_over(&lock(&it.recording)) && began.elapsed() < limit {
            self.bar.set_position(self.start.elapsed().as_secs());
            sleep(STEP).await;
        }
    }

    /// Requests a script and records the answer until it ends or takes longer than it should.
    async fn play(&self, script: &Script, request: &Request) -> Played {
        let (id, recorder) = self.begin(script, request);
        let limit = script.length().map_or(self.hop.length, |length| length + PATIENCE);
        self.watch(&recorder, limit, |_| false).await;
        self.stop(recorder, &id).await
    }

    /// Requests a script twice at the same address, a second apart. Returns the second answer.
    async fn play_twice(&self, script: &Script) -> Played {
        let (id, first) = self.begin(script, &self.get);
        sleep(APART).await;
        let second = self.begin_as(&id, script, &self.get);
        let limit = 2 * script.length().unwrap_or_default() + PATIENCE;
        self.watch(&second, limit, |_| false).await;
        first.stop(self.start.elapsed());
        self.stop(second, &id).await
    }

    /// If the hop held back events of `played`, requests a long answer, which fills the hop's
    /// buffers until a byte comes.
    async fn fill(&self, played: &Played, script: &Script) -> Option<Played> {
        if played.is_passed() {
            return None;
        }
        let (id, recorder) = self.begin(script, &self.get);
        let limit = script.length().unwrap_or_default() + PATIENCE;
        self.watch(&recorder, limit, |it| !it.bytes.is_empty()).await;
        Some(self.stop(recorder, &id).await)
    }

    async fn stop(&self, recorder: Recorder, id: &str) -> Played {
        Played { stream: recorder.stop(self.start.elapsed()), seen: self.seen(id).await }
    }

    /// Requests a script, and disconnects after the first byte or after [`ARRIVAL`]. Returns how
    /// long the origin took to notice this. If the origin didn't notice, the error is how long it
    /// was watched.
    async fn leave(&self, script: &Script) -> Result<Duration, Duration> {
        let (id, recorder) = self.begin(script, &self.get);
        self.watch(&recorder, ARRIVAL, |it| !it.bytes.is_empty()).await;
        recorder.stop(self.start.elapsed());
        let left = Instant::now();
        while self.seen(&id).await["has_left"] != true {
            if left.elapsed() >= self.hop.length {
                return Err(left.elapsed());
            }
            sleep(STEP).await;
        }
        Ok(left.elapsed())
    }

    /// Opens streams together. Returns how many reach the origin without an error status, the
    /// highest status, and whether the hop closed a connection without an answer.
    async fn open_together(&self) -> (usize, u16, bool) {
        let (began, mut has_closed) = (Instant::now(), false);
        let streams = Vec::from_iter((0..self.hop.streams).map(|_| self.begin(&QUIET, &self.get)));
        let (mut last, mut count, mut highest) = (Instant::now(), 0, 0);
        while last.elapsed() < 2 * ARRIVAL && count < streams.len() {
            sleep(STEP).await;
            let before = std::mem::take(&mut count);
            for (id, recorder) in &streams {
                let status = lock(&recorder.recording).status();
                highest = status.max(highest);
                // Later, this program may have given up connecting.
                let is_early = began.elapsed() < CONNECT_LIMIT;
                has_closed |= status == 0 && recorder.task.is_finished() && is_early;
                count += usize::from(status < 300 && !self.seen(id).await.is_null());
            }
            last = if count > before { Instant::now() } else { last };
        }
        streams.iter().for_each(|(_, recorder)| recorder.task.abort());
        (count, highest, has_closed)
    }
}
