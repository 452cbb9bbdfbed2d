use super::*;

/// A short one, because owners of a real server die in real time.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

impl Program<Wire> {
    pub(crate) async fn connect(world: &Redis, builder: RunsBuilder) -> Self {
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
pub(crate) struct Pair {
    pub(crate) world: Redis,
    pub(crate) one: Program<Wire>,
    pub(crate) other: Program<Wire>,
}

impl Pair {
    pub(crate) async fn start() -> Option<Self> {
        let world = Redis::start(LEASE).await?;
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
