//! One of the processes that share the run of a key, and its clients.

use std::{fmt::Debug, pin::Pin};

use futures_util::Stream;
use http::request::Parts;
use http_body::Body;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tower_sse::runs::__private::Record;
use tower_sse::runs::{Run, RunEnd, RunError, Runs};

use super::*;

/// One process: its runs and its connection to the server.
pub(super) struct Process {
    pub(super) runs: Runs,
    pub(super) store: Way,
    pub(super) ends: Arc<Mutex<Vec<RunEnd>>>,
}

impl Process {
    pub(super) async fn at(way: Way, options: impl FnOnce(RunsBuilder) -> RunsBuilder) -> Self {
        let ends: Arc<Mutex<Vec<RunEnd>>> = Arc::default();
        let seen = Arc::clone(&ends);
        let builder = Runs::builder().on_end(move |end| seen.lock().unwrap().push(end.clone()));
        Self { runs: options(builder).connect(way.clone()).await.unwrap(), store: way, ends }
    }

    /// Starts a run that the test feeds. Returns `None` if the key has a run already.
    pub(super) async fn start(&self) -> Option<Source> {
        self.try_start(&KEY, None).await.unwrap()
    }

    pub(super) async fn try_start(&self, key: &RunKey, last: Option<&LastEventId>) -> Started {
        let (source, stream) = source();
        let mut is_called = false;
        let start = || {
            is_called = true;
            stream
        };
        soon(self.runs.start(key, &request(last), start)).await?;
        Ok(is_called.then_some(source))
    }

    /// Replaces the run with the key by one that the test feeds.
    pub(super) async fn replace(&self) -> Source {
        let (source, stream) = source();
        soon(self.runs.replace(&KEY, None, || stream)).await.unwrap();
        source
    }

    /// Stops the run with the key. Returns whether it was live.
    pub(super) async fn cancel(&self) -> bool {
        soon(self.runs.cancel(&KEY, None)).await
    }

    pub(super) async fn get(&self) -> Option<Run> {
        self.get_as(&KEY).await
    }

    pub(super) async fn get_as(&self, key: &RunKey) -> Option<Run> {
        soon(self.runs.get(key)).await
    }

    /// Attaches a client to the run with the key.
    pub(super) async fn attach(&self) -> Attachment {
        self.attach_as(&KEY).await
    }

    pub(super) async fn attach_as(&self, key: &RunKey) -> Attachment {
        let run = self.get_as(key).await.expect("a run");
        soon(run.attach(None)).await.expect("an attachment")
    }

    /// Answers a request to the run with the key, whichever process owns the run.
    pub(super) async fn answer(&self, last: Option<&LastEventId>) -> Response<SseBody> {
        soon(self.runs.answer(&KEY, &request(last))).await.expect("an answer")
    }

    pub(super) async fn status(&self, last: Option<&LastEventId>) -> u16 {
        self.answer(last).await.status().as_u16()
    }

    pub(super) fn outcomes(&self) -> Vec<Outcome> {
        self.ends.lock().unwrap().iter().map(|end| end.outcome).collect()
    }

    /// Starts a run with a key that has none.
    pub(super) async fn start_as(&self, key: &RunKey) -> Source {
        self.try_start(key, None).await.unwrap().expect("a free key")
    }

    /// Starts a run whose call answers what the test sends: a stream, or nothing to record.
    pub(super) fn call(&self) -> oneshot::Sender<Result<stream::Pending<Event>, ()>> {
        let (answer, answered) = oneshot::channel();
        let runs = self.runs.clone();
        tokio::spawn(async move {
            _ = runs.start_with(&KEY, None, || async { answered.await.unwrap() }).await;
        });
        answer
    }

    /// Returns the record of a run of this process, or a mirror.
    pub(super) fn record(&self, key: &RunKey) -> Arc<Record> {
        let cluster = self.store.cluster();
        let mirrored = || {
            let mut mirrors = cluster.mirrors.map.all().into_iter();
            mirrors.find_map(|it| it.record().filter(|_| it.run.key == *key))
        };
        cluster.process.peek(key).or_else(mirrored).expect("a run that this process knows")
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.record(&KEY).epoch
    }

    /// Returns the name of the run with the key.
    pub(super) fn run(&self) -> RunId {
        RunId::of(&self.record(&KEY))
    }

    /// Attaches a client that has seen the events up to this one.
    pub(super) async fn attach_after(&self, sequence: u64) -> Attachment {
        let run = self.get().await.expect("a run");
        soon(run.attach(self.id(sequence))).await.expect("an attachment")
    }

    /// Returns the id of the `sequence`th event of the run with the key.
    pub(super) fn id(&self, sequence: u64) -> LastEventId {
        id_of(&self.record(&KEY), sequence)
    }
}

pub(super) static KEY: LazyLock<RunKey> = LazyLock::new(|| RunKey::new("user", "turn").unwrap());

pub(super) type Source = UnboundedSender<Result<Event, &'static str>>;
/// A request's source, `None` if the key has a run already, or why the request was refused.
pub(super) type Started = Result<Option<Source>, StartError>;

/// Returns a stream of events that the test feeds, and ends by dropping the source.
pub(super) fn source() -> (Source, impl Stream<Item = Result<Event, &'static str>> + Send + 'static)
{
    let (sender, mut receiver) = unbounded_channel();
    (sender, stream::poll_fn(move |context| receiver.poll_recv(context)))
}

pub(super) fn send(source: &Source, texts: &[&str]) {
    for text in texts {
        source.send(Ok(Event::from(*text))).unwrap();
    }
}

/// Sends a run's last events, and ends it.
pub(super) fn finish(source: Source, texts: &[&str]) {
    send(&source, texts);
    drop(source);
}

/// Waits for a future that must be ready within a minute of tokio's clock, which may be paused.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future).await.expect("within a minute")
}

/// Does the same as [`soon`], and asserts that the future took at most this time of tokio's clock.
pub(super) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let output = soon(future).await;
    assert!(begun.elapsed() <= limit, "{:?}", begun.elapsed());
    output
}

/// Calls `act` after this time.
pub(super) async fn after(time: Duration, act: impl FnOnce()) {
    sleep(time).await;
    act();
}

/// Returns the head of a `GET` request with this id, if there is one.
pub(super) fn request(last: Option<&LastEventId>) -> Parts {
    let mut request = Request::get("/").body(()).unwrap();
    if let Some(last) = last {
        request.extensions_mut().insert(last.clone());
    }
    request.into_parts().0
}

/// Reads the next `count` events of a client. Returns their data.
pub(super) async fn read(client: &mut Attachment, count: usize) -> Vec<String> {
    let mut data = Vec::new();
    while data.len() < count {
        match soon(client.next()).await {
            Some(Ok(events)) => data.extend(data_of(events.as_bytes())),
            other => panic!("{other:?} after {data:?}"),
        }
    }
    assert_eq!(data.len(), count, "{data:?}");
    data
}

/// Reads the events of a client until the end of the stream, and returns its error too.
pub(super) async fn read_all(mut client: Attachment) -> (Vec<String>, Option<RunError>) {
    let mut data = Vec::new();
    while let Some(events) = soon(client.next()).await {
        match events {
            Ok(events) => data.extend(data_of(events.as_bytes())),
            Err(error) => return (data, Some(error)),
        }
    }
    (data, None)
}

/// Asserts that a client reads these events and then a clean end.
pub(super) async fn assert_whole(client: Attachment, expected: &[&str]) {
    let (data, error) = read_all(client).await;
    assert!(error.is_none(), "{error:?} after {data:?}");
    assert_eq!(data, expected);
}

/// Asserts that a client reads these events and then an error with this outcome.
pub(super) async fn assert_fails(client: Attachment, texts: &[&str], outcome: Option<Outcome>) {
    let (data, error) = read_all(client).await;
    assert_eq!(error.expect("an error").outcome(), outcome);
    assert_eq!(data, texts);
}

/// Reads a body until its end.
pub(super) async fn text<B: Body<Error: Debug>>(answer: Response<B>) -> String {
    let bytes = soon(answer.into_body().collect()).await.unwrap().to_bytes();
    str::from_utf8(&bytes).unwrap().to_owned()
}

fn data_of(bytes: &[u8]) -> Vec<String> {
    let text = str::from_utf8(bytes).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
}

/// Returns the id of the `sequence`th event of a run.
pub(super) fn id_of(record: &Record, sequence: u64) -> LastEventId {
    LastEventId::try_from(format!("{}-{sequence}", record.epoch)).unwrap()
}

/// Begins a request, and returns it when its second command is on its way to the store: a request
/// that starts a run looks for one first, and then claims the key. All commands keep a delay of 10
/// milliseconds, so that a fault that the test sets now affects the second one.
pub(super) async fn claiming<R: Future>(process: &Process, request: R) -> Pin<Box<R>> {
    process.store.faults().delay = Duration::from_millis(10);
    let mut request = Box::pin(request);
    waits(15, &mut request).await;
    request
}

/// Asserts that a request is not answered while it is polled for this many milliseconds.
pub(super) async fn waits(milliseconds: u64, request: &mut (impl Future + Unpin)) {
    let answered = timeout(Duration::from_millis(milliseconds), request).await;
    assert!(answered.is_err(), "it is answered");
}
