use std::{
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex, OnceLock, Weak},
    time::Duration,
};

use futures_util::{Stream, stream};
use http::{Request, Response, request::Parts};
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
    time::timeout,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_sse::{
    Event, LastEventId, StreamOptions,
    runs::{
        AnswerBody, Attachment, Outcome, Run, RunEnd, RunKey, RunStore, Runs, RunsBuilder,
        StartError,
        support::{Connected, Epoch, Options, Record},
    },
};

use super::clients::read;
use crate::runs::{cluster::cluster::Cluster, seam::RunId, tests::memory_store::MemoryStore};

pub(super) const LEASE: Duration = Duration::from_secs(8);

/// One process: its runs and its connection to the store.
pub(super) struct Process {
    pub(super) runs: Runs,
    pub(super) store: MemoryStore,
    pub(super) ends: Arc<Mutex<Vec<RunEnd>>>,
    cluster: Arc<OnceLock<Weak<Cluster>>>,
}

/// A store of which the test knows what is connected to it.
struct Known {
    store: MemoryStore,
    cluster: Arc<OnceLock<Weak<Cluster>>>,
}

impl RunStore for Known {
    type Error = Infallible;

    async fn connect(self, options: Options) -> Result<Connected, Infallible> {
        let open = |id, receive| ready(Ok::<_, Infallible>(self.store.connect(id, receive)));
        let cluster = Cluster::connect(options, open).await?;
        _ = self.cluster.set(Arc::downgrade(&cluster));
        Ok((Arc::clone(&cluster.process), cluster))
    }
}

impl Process {
    pub(super) async fn with(
        store: MemoryStore,
        options: impl FnOnce(RunsBuilder) -> RunsBuilder,
    ) -> Self {
        let ends: Arc<Mutex<Vec<RunEnd>>> = Arc::default();
        let seen = Arc::clone(&ends);
        let builder = options(Runs::builder())
            .on_end(move |end: &RunEnd| seen.lock().unwrap().push(end.clone()));
        let cluster = Arc::default();
        let known = Known { store: store.clone(), cluster: Arc::clone(&cluster) };
        let Ok(runs) = builder.connect(known).await;
        Self { runs, store, ends, cluster }
    }

    /// Starts a run that the test feeds. Returns `None` if the key has a run already.
    pub(super) async fn start(&self) -> Option<Source> {
        self.try_start(&key(), None).await.unwrap()
    }

    /// Starts a run that the test feeds, from a handler with these options.
    pub(super) async fn answer_with(&self, options: StreamOptions) -> Source {
        let (source, stream) = source();
        let mut response = tower_sse::response(stream);
        response.extensions_mut().insert(options);
        let answer = Arc::new(Mutex::new(Some(response)));
        let service = service_fn(move |_: Request<()>| {
            let answer = answer.lock().unwrap().take().expect("one call");
            async { Ok::<_, Infallible>(answer) }
        });
        let service = self.runs.layer(|_: &Request<()>| Some(Ok(key()))).layer(service);
        _ = service.oneshot(Request::post("/").body(()).unwrap()).await.unwrap();
        source
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
            _ = runs.start_with(&key(), None, || async { answered.await.unwrap() }).await;
        });
        answer
    }

    pub(super) async fn try_start(
        &self,
        key: &RunKey,
        last: Option<&LastEventId>,
    ) -> Result<Option<Source>, StartError> {
        let (source, stream) = source();
        let mut is_called = false;
        let start = || {
            is_called = true;
            stream
        };
        self.runs.start(key, &request(last), start).await?;
        Ok(is_called.then_some(source))
    }

    /// Replaces the run with the key by one that the test feeds.
    pub(super) async fn replace(&self) -> (Run, Source) {
        let (source, stream) = source();
        let run = soon(self.runs.replace(&key(), None, || stream)).await.unwrap();
        (run, source)
    }

    /// Stops the run with the key. Returns whether it was live.
    pub(super) async fn cancel(&self) -> bool {
        soon(self.runs.cancel(&key(), None)).await
    }

    pub(super) async fn get(&self) -> Option<Run> {
        self.get_as(&key()).await
    }

    pub(super) async fn get_as(&self, key: &RunKey) -> Option<Run> {
        soon(self.runs.get(key)).await
    }

    /// Answers a request to the run with the key, whichever process owns the run.
    pub(super) async fn answer(&self, last: Option<&LastEventId>) -> Response<AnswerBody> {
        soon(self.runs.answer(&key(), &request(last))).await.expect("an answer")
    }

    pub(super) async fn status(&self, last: Option<&LastEventId>) -> u16 {
        self.answer(last).await.status().as_u16()
    }

    pub(super) fn cluster(&self) -> Arc<Cluster> {
        self.cluster.get().unwrap().upgrade().expect("connected runs")
    }

    /// Returns the record of a run of this process, or a mirror.
    pub(super) fn record(&self, key: &RunKey) -> Arc<Record> {
        let cluster = self.cluster();
        let mirrored = || {
            let mut mirrors = cluster.mirrors.map.all().into_iter();
            mirrors.find_map(|it| it.record().filter(|_| it.run.key == *key))
        };
        cluster.process.peek(key).or_else(mirrored).expect("a run that this process knows")
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.record(&key()).epoch
    }

    /// Returns the name of the run with the key.
    pub(super) fn run(&self) -> RunId {
        RunId::of(&self.record(&key()))
    }

    /// Returns the id of the `sequence`th event of the run with the key.
    pub(super) fn id(&self, sequence: u64) -> LastEventId {
        id_of(&self.record(&key()), sequence)
    }

    /// Attaches a client of a request to the run with the key.
    pub(super) async fn attach(&self) -> Attachment {
        self.attach_as(&key()).await
    }

    pub(super) async fn attach_as(&self, key: &RunKey) -> Attachment {
        let run = self.get_as(key).await.expect("a run");
        soon(run.attach(None)).await.expect("an attachment")
    }

    pub(super) fn outcomes(&self) -> Vec<Outcome> {
        self.ends.lock().unwrap().iter().map(|end| end.outcome).collect()
    }
}

/// Creates a process that is alone at its store.
pub(super) async fn alone(options: impl FnOnce(RunsBuilder) -> RunsBuilder) -> Process {
    Process::with(MemoryStore::new(LEASE), options).await
}

/// Creates two processes, and starts a run of the first one with these events.
pub(super) async fn started(texts: &[&str]) -> (Process, Process, Source) {
    started_with(texts, |builder| builder).await
}

pub(super) async fn started_with(
    texts: &[&str],
    options: impl Fn(RunsBuilder) -> RunsBuilder,
) -> (Process, Process, Source) {
    let (one, other) = two_with(options).await;
    let source = one.start().await.unwrap();
    send(&source, texts);
    (one, other, source)
}

/// Does the same as [`started`], and attaches a client at the other process, which reads the
/// events.
pub(super) async fn watched(texts: &[&str]) -> (Process, Process, Source, Attachment) {
    watched_with(texts, |builder| builder).await
}

pub(super) async fn watched_with(
    texts: &[&str],
    options: impl Fn(RunsBuilder) -> RunsBuilder,
) -> (Process, Process, Source, Attachment) {
    let (one, other, source) = started_with(texts, options).await;
    let mut live = other.attach().await;
    read(&mut live, texts.len()).await;
    (one, other, source, live)
}

/// Creates two processes with the same store.
pub(super) async fn two() -> (Process, Process) {
    two_with(|builder| builder).await
}

pub(super) async fn two_with(options: impl Fn(RunsBuilder) -> RunsBuilder) -> (Process, Process) {
    let one = alone(&options).await;
    let other = Process::with(one.store.other(), &options).await;
    (one, other)
}

pub(super) fn key() -> RunKey {
    RunKey::new("user", "turn").unwrap()
}

pub(super) fn key_of(turn: usize) -> RunKey {
    RunKey::new("user", format!("turn {turn}")).unwrap()
}

pub(super) type Source = UnboundedSender<Result<Event, &'static str>>;

/// Returns a stream of events that the test feeds, and ends by dropping the source.
pub(super) fn source() -> (Source, impl Stream<Item = Result<Event, &'static str>> + Send + 'static)
{
    let (sender, receiver) = unbounded_channel();
    let next = |mut receiver: UnboundedReceiver<_>| async {
        receiver.recv().await.map(|event| (event, receiver))
    };
    (sender, stream::unfold(receiver, next))
}

pub(super) fn send(source: &Source, texts: &[&str]) {
    for text in texts {
        source.send(Ok(Event::from(*text))).unwrap();
    }
}

/// Waits for a future that must be ready within a minute of the paused clock.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future).await.expect("within a minute")
}

/// Returns the id of the `sequence`th event of a run.
pub(super) fn id_of(record: &Record, sequence: u64) -> LastEventId {
    LastEventId::try_from(format!("{}-{sequence}", record.epoch)).unwrap()
}

/// Returns the head of a `GET` request with an id.
pub(super) fn request(last: Option<&LastEventId>) -> Parts {
    let mut request = Request::get("/").body(()).unwrap();
    if let Some(last) = last {
        request.extensions_mut().insert(last.clone());
    }
    request.into_parts().0
}
