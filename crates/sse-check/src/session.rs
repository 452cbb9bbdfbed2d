//! Records a stream at all of its addresses, and what a client receives there when it reconnects.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::{Method, Uri};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use crate::connection::{Connection, Request, name};
use crate::recording::{End, MAX_BYTES, Recording, Stream, lock, record};

/// How long to watch the second connections if all first streams had ended before them.
const AFTER_END: Duration = Duration::from_secs(2);
/// How long a `HEAD` request may take.
const HEAD_LIMIT: Duration = Duration::from_millis(800);
/// How many events a client should have missed when it reconnects.
const MISSED: usize = 3;

/// What to look at, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The addresses, at least one, from the clients to the server.
    pub(crate) targets: Vec<Uri>,
    pub(crate) request: Request,
    pub(crate) length: Duration,
    /// Whether to connect a second time with an event's id.
    pub(crate) resumes: bool,
    pub(crate) may_be_empty: bool,
}

#[derive(Debug)]
pub(crate) struct Session {
    /// The stream as clients receive it.
    pub(crate) outermost: Stream,
    /// The streams nearer to the server, in the order of the addresses.
    pub(crate) inner: Vec<Stream>,
    pub(crate) resumption: Option<Resumption>,
    /// The answer to a `HEAD` request, sent to the innermost address that didn't answer the `GET`.
    pub(crate) proxy: Option<Stream>,
    pub(crate) method: Method,
    /// When the first requests were sent.
    pub(crate) began: SystemTime,
    /// Whether a stream without an event is fine.
    pub(crate) may_be_empty: bool,
}

/// The second connections, with the id of an event that the outermost stream had received.
#[derive(Debug)]
pub(crate) struct Resumption {
    pub(crate) id: String,
    /// The streams at all addresses, in the order of the addresses.
    pub(crate) streams: Vec<Stream>,
}

pub(crate) struct Recorder {
    pub(crate) recording: Arc<Mutex<Recording>>,
    pub(crate) task: JoinHandle<()>,
}

impl Recorder {
    /// Records a stream, over a new connection if `connection` is `None`.
    pub(crate) fn start(
        connection: Option<(Connection, Duration)>,
        target: &Uri,
        request: &Request,
        last_id: Option<String>,
        start: Instant,
    ) -> Self {
        let connecting = connection.as_ref().map_or(Duration::ZERO, |(_, time)| *time);
        let recording = Recording::new(target.clone(), start.elapsed(), connecting);
        let recording = Arc::new(Mutex::new(recording));
        let (shared, target, request) = (Arc::clone(&recording), target.clone(), request.clone());
        let task = async move {
            let connection = match connection {
                Some((connection, _)) => Ok(connection),
                None => Connection::open(&target, &request).await,
            };
            match connection {
                Ok(it) => record(it, &request, last_id.as_deref(), start, &shared).await,
                Err(error) => lock(&shared).end = End::Cut(error),
            }
        };
        Self { recording, task: tokio::spawn(task) }
    }

    /// Stops recording, which closes the connection.
    pub(crate) fn stop(self, now: Duration) -> Stream {
        self.task.abort();
        let mut recording = lock(&self.recording).clone();
        // A full recording is read no further, so its watch ended with the last bytes.
        if recording.end == End::Open && recording.bytes.len() <= MAX_BYTES {
            recording.end_at = now;
        }
        Stream::new(recording)
    }
}

/// Records the streams of all targets. The error is the message to print.
pub(crate) async fn observe(plan: &Plan) -> Result<Session, String> {
    let (mut connecting, mut recorders) = (JoinSet::new(), Vec::new());
    for (index, target) in plan.targets.iter().cloned().enumerate() {
        let (request, started) = (plan.request.clone(), Instant::now());
        connecting.spawn(async move {
            let connection = Connection::open(&target, &request).await?;
            Ok::<_, String>((index, target, (connection, started.elapsed())))
        });
    }
    let connections = connecting.join_all().await.into_iter();
    let mut connections: Vec<_> = connections.collect::<Result<_, _>>()?;
    connections.sort_by_key(|(index, ..)| *index);
    // Send all requests at once: a stream may begin when its request arrives.
    let (start, began) = (Instant::now(), SystemTime::now());
    for (_, target, connection) in connections {
        recorders.push(Recorder::start(Some(connection), &target, &plan.request, None, start));
    }
    let resumption = watch(plan, &recorders, start).await;
    // On a busy machine, bytes that came after `plan.length` may be unread, so silence after it
    // doesn't count.
    let now = start.elapsed().min(plan.length);
    let stop = |recorders: Vec<Recorder>| recorders.into_iter().map(|it| it.stop(now)).collect();
    let resumption = resumption.map(|(id, it)| Resumption { id, streams: stop(it) });
    let mut streams: Vec<Stream> = stop(recorders);
    answered(&streams)?;
    let (method, mut proxy) = (plan.request.method.clone(), None);
    // If a proxy passes no head on, the proxies in front of it get none: look at the innermost.
    let held = streams.iter().rfind(|it| it.recording.head.is_none());
    if let Some(held) = held.filter(|_| method == Method::GET) {
        let request = Request { method: Method::HEAD, ..plan.request.clone() };
        let recorder = Recorder::start(None, &held.recording.target, &request, None, start);
        sleep(HEAD_LIMIT).await;
        proxy = Some(recorder.stop(now));
    }
    // This can't panic: the plan has a target.
    let outermost = streams.remove(0);
    let may_be_empty = plan.may_be_empty;
    Ok(Session { outermost, inner: streams, resumption, proxy, method, began, may_be_empty })
}

/// Shows how much of the time is over.
pub(crate) fn progress(length: Duration) -> ProgressBar {
    let style = ProgressStyle::with_template("{pos}/{len} s {wide_bar} {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length.as_secs()).with_style(style)
}

/// An event's id and the recorders of the connections that resume from it.
type Resuming = (String, Vec<Recorder>);

/// Waits until the streams end, the time is over, or Ctrl-C is pressed. If the plan resumes, opens
/// the second connections after half of the time or when all streams have ended, or later if no
/// event with an id has come by then.
async fn watch(plan: &Plan, recorders: &[Recorder], start: Instant) -> Option<Resuming> {
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let mut limit = plan.length;
    let mut resumption: Option<Resuming> = None;
    let mut attempt_at = plan.resumes.then_some(plan.length / 2);
    let bar = progress(plan.length);
    loop {
        let is_over = recorders.iter().all(|it| it.task.is_finished());
        let elapsed = start.elapsed();
        if attempt_at.is_some_and(|at| is_over || elapsed >= at) {
            resumption = resume(plan, recorders, start);
            let is_last = is_over || resumption.is_some() || elapsed > plan.length * 3 / 4;
            attempt_at = if is_last { None } else { Some(elapsed + plan.length / 8) };
            limit = if is_over { limit.min(elapsed + AFTER_END) } else { limit };
        }
        let is_resumed = resumption.iter().flat_map(|it| &it.1).all(|it| it.task.is_finished());
        if elapsed >= limit || is_over && is_resumed {
            break;
        }
        let bytes = recorders.iter().map(|it| lock(&it.recording).bytes.len().to_string());
        bar.set_position(elapsed.as_secs());
        bar.set_message(bytes.collect::<Vec<_>>().join(", ") + " bytes");
        tokio::select! {
            () = sleep(Duration::from_millis(50)) => {}
            _ = &mut interrupted => break,
        }
    }
    bar.finish_and_clear();
    resumption
}

/// Connects to all targets with the id of one of the outermost stream's last events. `None` if no
/// event has an id.
fn resume(plan: &Plan, recorders: &[Recorder], start: Instant) -> Option<Resuming> {
    let stream = Stream::new(lock(&recorders.first()?.recording).clone());
    let mut ids: Vec<_> = stream.with_ids(None).map(|(id, _)| id.to_owned()).collect();
    ids.dedup();
    let last = ids.len().checked_sub(1)?;
    let id = ids.get(last.saturating_sub(MISSED.min(ids.len() / 2)))?;
    let open = |target| Recorder::start(None, target, &plan.request, Some(id.clone()), start);
    Some((id.clone(), plan.targets.iter().map(open).collect()))
}

/// Checks that the address nearest to the server has answered.
fn answered(streams: &[Stream]) -> Result<(), String> {
    let recording = streams.last().map(|stream| &stream.recording);
    let Some(Recording { target, head: None, end, .. }) = recording else { return Ok(()) };
    let hint = "nothing came in time; if a proxy is in front of it, --via with the server's own \
                address shows whether the proxy holds the answer back; if the handler is slow, \
                watch for longer (--for)";
    let reason = if let End::Cut(error) = end { error } else { hint };
    Err(format!("{} does not answer: {reason}", name(target)))
}
