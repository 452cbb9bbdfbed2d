//! One look at a stream through all of its addresses at once.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Method;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::{
    connection::{Connection, Request, Target},
    recording::{End, Recording, Stream, lock, record},
};

/// How long a client that has come back is watched if the stream is over.
const AFTER_END: Duration = Duration::from_secs(2);
/// How long a `HEAD` request may take.
const HEAD_LIMIT: Duration = Duration::from_millis(800);
/// How many events a client that comes back has missed.
const MISSED: usize = 3;

/// What to look at.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// From the outside to the inside, and at least one.
    pub(crate) targets: Vec<Target>,
    pub(crate) request: Request,
    pub(crate) length: Duration,
    /// Connect a second time, with the id of an event.
    pub(crate) resumes: bool,
}

/// What was seen.
#[derive(Debug)]
pub(crate) struct Session {
    /// As clients receive it.
    pub(crate) outermost: Stream,
    /// Nearer to the server, from the outside to the inside.
    pub(crate) inner: Vec<Stream>,
    pub(crate) resumption: Option<Resumption>,
    /// The headers `server` and `via` of the answer to `HEAD`, if no other one has come.
    pub(crate) proxy: String,
    pub(crate) method: Method,
}

/// A connection with the id of an event that the outermost stream had received.
#[derive(Debug)]
pub(crate) struct Resumption {
    pub(crate) id: String,
    pub(crate) stream: Stream,
}

struct Recorder {
    recording: Arc<Mutex<Recording>>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Records a stream, over a new connection if there is none yet.
    fn start(
        connection: Option<Connection>,
        target: Target,
        request: Request,
        last_id: Option<String>,
        start: Instant,
    ) -> Self {
        let recording = Recording::new(target.clone(), start.elapsed());
        let recording = Arc::new(Mutex::new(recording));
        let shared = Arc::clone(&recording);
        let task = async move {
            let connection = match connection {
                Some(connection) => Ok(connection),
                None => Connection::open(&target, &request).await,
            };
            match connection {
                Ok(connection) => {
                    record(connection, &request, last_id.as_deref(), start, &shared).await;
                }
                Err(error) => lock(&shared).end = End::Cut(error),
            }
        };
        Self { recording, task: tokio::spawn(task) }
    }

    fn stop(self, start: Instant) -> Stream {
        self.task.abort();
        let mut recording = lock(&self.recording).clone();
        if recording.end == End::Open {
            recording.end_at = start.elapsed();
        }
        Stream::new(recording)
    }
}

/// Records the streams of all targets. The error is a sentence.
pub(crate) async fn observe(plan: &Plan) -> Result<Session, String> {
    let connecting = plan.targets.iter().cloned().map(|target| {
        let request = plan.request.clone();
        tokio::spawn(async move { (Connection::open(&target, &request).await, target) })
    });
    let mut connections = Vec::new();
    for connection in connecting.collect::<Vec<_>>() {
        let (connection, target) = connection.await.map_err(|error| error.to_string())?;
        connections.push((connection?, target));
    }
    // All requests are sent at once, because streams may begin when their request comes.
    let start = Instant::now();
    let recorders = connections.into_iter().map(|(connection, target)| {
        Recorder::start(Some(connection), target, plan.request.clone(), None, start)
    });
    let recorders: Vec<_> = recorders.collect();
    let resumption = watch(plan, &recorders, start).await;
    let resumption = resumption.map(|(id, it)| Resumption { id, stream: it.stop(start) });
    let mut streams = recorders.into_iter().map(|it| it.stop(start)).collect::<Vec<_>>();
    answered(&streams, plan.length)?;
    let outermost = streams.remove(0);
    let mut proxy = String::new();
    if outermost.recording.head.is_none() && plan.request.method == Method::GET {
        proxy = timeout(HEAD_LIMIT, proxy_of(plan)).await.unwrap_or_default();
    }
    let method = plan.request.method.clone();
    Ok(Session { outermost, inner: streams, resumption, proxy, method })
}

/// Waits until the streams are over or the time is, and resumes the outermost one meanwhile.
async fn watch(plan: &Plan, recorders: &[Recorder], start: Instant) -> Option<(String, Recorder)> {
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let mut limit = plan.length;
    let mut resumption: Option<(String, Recorder)> = None;
    let mut attempt_at = plan.resumes.then_some(plan.length / 2);
    let bar = ProgressBar::new(plan.length.as_secs());
    let style = ProgressStyle::with_template("{pos}/{len} s {wide_bar} {msg} bytes");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    loop {
        let is_over = recorders.iter().all(|it| it.task.is_finished());
        let elapsed = start.elapsed();
        if attempt_at.is_some_and(|at| is_over || elapsed >= at) {
            resumption = resume(plan, recorders, start);
            let is_last = is_over || resumption.is_some() || elapsed > plan.length * 3 / 4;
            attempt_at = if is_last { None } else { Some(elapsed + plan.length / 8) };
            limit = if is_over { limit.min(elapsed + AFTER_END) } else { limit };
        }
        let is_resumed = resumption.as_ref().is_none_or(|(_, it)| it.task.is_finished());
        if elapsed >= limit || is_over && is_resumed {
            break;
        }
        let bytes = recorders.iter().map(|it| lock(&it.recording).bytes.len().to_string());
        bar.set_position(elapsed.as_secs());
        bar.set_message(bytes.collect::<Vec<_>>().join(", "));
        tokio::select! {
            () = sleep(Duration::from_millis(50)) => {}
            _ = &mut interrupted => break,
        }
    }
    bar.finish_and_clear();
    resumption
}

/// Connects to the outermost target with the id of one of its last events, if it has any.
fn resume(plan: &Plan, recorders: &[Recorder], start: Instant) -> Option<(String, Recorder)> {
    let (target, recorder) = plan.targets.first().zip(recorders.first())?;
    let stream = Stream::new(lock(&recorder.recording).clone());
    let ids: Vec<_> = stream.events.iter().filter_map(|event| event.id.clone()).collect();
    let last = ids.len().checked_sub(1)?;
    let id = ids.get(last.saturating_sub(MISSED.min(ids.len() / 2)))?;
    let (target, request) = (target.clone(), plan.request.clone());
    Some((id.clone(), Recorder::start(None, target, request, Some(id.clone()), start)))
}

/// Checks that there is a stream to look at.
fn answered(streams: &[Stream], length: Duration) -> Result<(), String> {
    let Some(Stream { recording: Recording { target, head: None, end, .. }, .. }) = streams.last()
    else {
        return Ok(());
    };
    Err(match end {
        End::Cut(error) => format!("{target} does not answer: {error}"),
        _ => format!(
            "{target} does not answer within {} seconds; if a proxy is in front of it, add the \
             server's own address with --via, to see whether the proxy holds the answer back",
            length.as_secs_f64()
        ),
    })
}

/// Asks who answers at the outermost address, since the stream has no head that says so.
async fn proxy_of(plan: &Plan) -> String {
    let Some(target) = plan.targets.first() else { return String::new() };
    let request = Request { method: Method::HEAD, ..plan.request.clone() };
    let Ok(mut connection) = Connection::open(target, &request).await else {
        return String::new();
    };
    let Ok(response) = connection.send(target, &request, None).await else { return String::new() };
    let mut recording = Recording::new(target.clone(), Duration::ZERO);
    recording.head = Some((Duration::ZERO, response.into_parts().0));
    format!("{} {}", recording.header("server"), recording.header("via"))
}
