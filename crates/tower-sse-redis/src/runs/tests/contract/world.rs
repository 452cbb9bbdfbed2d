use tower_sse::runs::RunStore;

use super::*;
use crate::runs::tests::memory_store::{MemoryStore, Server};

/// An empty store, and what a test can do to it.
pub(crate) trait World: Sized {
    type Store: Open<Error: Debug> + RunStore<Error: Debug>;
    type Way: Way;

    /// How late everything can be, on a busy machine.
    const SLACK: Duration;

    /// Returns `None`, and prints the reason, if the store is not installed.
    async fn start(lease: Duration) -> Option<Self>;

    /// Returns the store of one more process.
    fn store(&self) -> Self::Store;

    /// Returns the same, and the way to the store.
    async fn store_and_way(&self) -> (Self::Store, Self::Way);

    /// Lets time pass for leases and all that follows from them.
    async fn pass(&self, time: Duration);

    /// Loses all data, while processes are connected.
    async fn lose_data(&self);

    async fn lose_claim(&self, key: &RunKey);

    async fn lose_stream(&self, run: &RunId);

    /// Copies all claims and streams.
    async fn copy(&mut self);

    /// Replaces all data by the copy, as a fail-over to an older state does.
    async fn put_back(&self);
}

/// The way of a process to the store.
pub(crate) trait Way {
    /// Breaks all connections, and refuses new ones.
    fn cut(&self);

    fn heal(&self);
}

/// A store in memory, under a paused clock.
pub(crate) struct Memory {
    store: MemoryStore,
    copy: Server,
}

impl World for Memory {
    type Store = MemoryStore;
    type Way = MemoryStore;

    const SLACK: Duration = Duration::ZERO;

    async fn start(lease: Duration) -> Option<Self> {
        Some(Self { store: MemoryStore::new(lease), copy: Server::default() })
    }

    fn store(&self) -> MemoryStore {
        self.store.other()
    }

    async fn store_and_way(&self) -> (MemoryStore, MemoryStore) {
        let store = self.store();
        (store.clone(), store)
    }

    async fn pass(&self, time: Duration) {
        sleep(time).await;
    }

    async fn lose_data(&self) {
        self.store.lose_data();
    }

    async fn lose_claim(&self, key: &RunKey) {
        self.store.server().claims.remove(key).expect("a claim");
    }

    async fn lose_stream(&self, run: &RunId) {
        self.store.server().streams.remove(run).expect("a stream");
    }

    async fn copy(&mut self) {
        self.copy = self.store.server().clone();
    }

    async fn put_back(&self) {
        self.store.restore(&self.copy);
    }
}

impl Way for MemoryStore {
    fn cut(&self) {
        self.go_away();
    }

    fn heal(&self) {
        self.come_back();
    }
}

/// A short one, because owners of a real server die in real time.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

impl<W: Way> Program<W> {
    pub(crate) async fn connect<O: World<Way = W>>(world: &O, builder: RunsBuilder) -> Self {
        let (store, way) = world.store_and_way().await;
        Self::with(store, way, builder).await
    }

    /// Starts a run, and asks again while the store is out of reach, such as on a busy machine.
    pub(crate) async fn start_until_known(&self) -> Option<Source> {
        soon(async {
            loop {
                match self.try_start(&turn(), None).await {
                    Err(StartError::Unavailable) => sleep(Duration::from_millis(10)).await,
                    started => return started.unwrap(),
                }
            }
        })
        .await
    }

    pub(crate) async fn attach_after(&self, last: Option<LastEventId>) -> Attachment {
        let run = self.get().await.expect("a run");
        soon(run.attach(last)).await.expect("an attachment")
    }

    /// Reads the whole answer, and asks again while it is refused.
    pub(crate) async fn answer_until_known(&self, last: Option<&LastEventId>) -> String {
        loop {
            let answer = self.answer(last).await;
            if answer.status() != StatusCode::SERVICE_UNAVAILABLE {
                return program::text(answer).await;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Returns the id of an event of the run of this process.
    pub(crate) async fn id(&self, number: usize) -> LastEventId {
        let messages = self.get().await.expect("a run").messages().expect("its events");
        LastEventId::try_from(&*messages[number - 1].last_event_id).unwrap()
    }
}

/// Returns the run of an id.
pub(crate) fn run_of(id: &LastEventId) -> RunId {
    let (epoch, _) = id.as_str().split_once('-').unwrap();
    RunId::new(turn(), Epoch::parse(epoch).unwrap())
}

/// Two processes that share the run with the key [`turn`].
pub(crate) struct Pair<W: World> {
    pub(crate) world: W,
    pub(crate) one: Program<W::Way>,
    pub(crate) other: Program<W::Way>,
}

impl<W: World> Pair<W> {
    pub(crate) async fn start() -> Option<Self> {
        let world = W::start(LEASE).await?;
        let one = Program::connect(&world, Runs::builder()).await;
        let other = Program::connect(&world, Runs::builder()).await;
        Some(Self { world, one, other })
    }

    /// Starts a run of the first process with these events.
    pub(crate) async fn started(&self, texts: &[&str]) -> Source {
        let source = self.one.start().await.unwrap();
        send(&source, texts);
        source
    }

    /// The same, and a client at the other process that has read the events.
    pub(crate) async fn watched(&self, texts: &[&str]) -> (Source, Attachment) {
        let source = self.started(texts).await;
        let mut live = self.other.attach().await;
        assert_eq!(read(&mut live, texts.len()).await, texts);
        (source, live)
    }
}
