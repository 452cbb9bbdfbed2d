use std::sync::{OnceLock, Weak};
use std::{future::ready, ops::Deref};

use tokio::sync::oneshot;
use tower_sse::runs::support::{Connected, Options, Record};
use tower_sse::runs::{RunStore, Runs};

use super::*;
use crate::runs::{cluster::cluster::Cluster, tests::memory_store::MemoryStore};

pub(super) const LEASE: Duration = Duration::from_secs(8);

/// One process: its runs and its connection to the store.
pub(super) struct Process {
    pub(super) program: Program<MemoryStore>,
    cluster: Arc<OnceLock<Weak<Cluster>>>,
}

/// A store of which the test knows what is connected to it.
struct Known {
    store: MemoryStore,
    cluster: Arc<OnceLock<Weak<Cluster>>>,
}

impl Deref for Process {
    type Target = Program<MemoryStore>;

    fn deref(&self) -> &Program<MemoryStore> {
        &self.program
    }
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
        let cluster = Arc::default();
        let known = Known { store: store.clone(), cluster: Arc::clone(&cluster) };
        Self { program: Program::with(known, store, options(Runs::builder())).await, cluster }
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

/// Does the same as [`started`], and attaches a reading client at the other process.
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

pub(super) fn key_of(turn: usize) -> RunKey {
    RunKey::new("user", format!("turn {turn}")).unwrap()
}

/// Returns the id of the `sequence`th event of a run.
pub(super) fn id_of(record: &Record, sequence: u64) -> LastEventId {
    LastEventId::try_from(format!("{}-{sequence}", record.epoch)).unwrap()
}
