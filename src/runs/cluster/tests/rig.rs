use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{Stream, stream};
use http::{Request, Response, request::Parts};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};

use super::clients::read;
use crate::{
    connection::LastEventId,
    event::Event,
    runs::{
        AnswerBody, Attachment, Outcome, Run, RunEnd, RunKey, Runs, RunsBuilder, StartError,
        cluster::Cluster,
    },
    testing::MemoryStore,
};

pub(super) const LEASE: Duration = Duration::from_secs(8);

/// One process: its runs and its connection to the store.
pub(super) struct Process {
    pub(super) runs: Runs,
    pub(super) store: MemoryStore,
    pub(super) ends: Arc<Mutex<Vec<RunEnd>>>,
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
        let Ok(runs) = builder.connect(store.clone()).await;
        Self { runs, store, ends }
    }

    /// Starts a run that the test feeds. Returns `None` if the key has a run already.
    pub(super) async fn start(&self) -> Option<Source> {
        self.try_start(&key(), None).await.unwrap()
    }

    /// Starts a run with a key that has none.
    pub(super) async fn start_as(&self, key: &RunKey) -> Source {
        self.try_start(key, None).await.unwrap().expect("a free key")
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

    pub(super) fn cluster(&self) -> &Arc<Cluster> {
        self.runs.cluster.as_ref().unwrap()
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
        self.ends.lock().unwrap().iter().map(RunEnd::outcome).collect()
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
pub(super) fn id(run: &Run, sequence: u64) -> LastEventId {
    LastEventId::try_from(format!("{}-{sequence}", run.record.epoch)).unwrap()
}

/// Returns the head of a `GET` request with an id.
pub(super) fn request(last: Option<&LastEventId>) -> Parts {
    let mut request = Request::get("/").body(()).unwrap();
    if let Some(last) = last {
        request.extensions_mut().insert(last.clone());
    }
    request.into_parts().0
}
