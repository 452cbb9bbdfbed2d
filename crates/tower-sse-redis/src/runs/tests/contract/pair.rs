use tower_sse::runs::{Attachment, Runs};

use super::*;

/// A short one, because owners of a real server die in real time.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// Two processes that share the run with the key [`turn`].
pub(crate) struct Pair<W: World> {
    pub(crate) world: W,
    pub(crate) one: Program<W::Way>,
    pub(crate) other: Program<W::Way>,
}

impl<W: World> Pair<W> {
    pub(crate) async fn start() -> Option<Self> {
        let world = W::start(LEASE).await?;
        let one = Program::start(&world, Runs::builder()).await;
        let other = Program::start(&world, Runs::builder()).await;
        Some(Self { world, one, other })
    }

    /// Starts a run of the first process with these events.
    pub(crate) async fn started(&self, texts: &[&str]) -> Source {
        let source = self.one.call().await.unwrap();
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
