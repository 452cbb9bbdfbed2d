use std::time::Duration;

use tokio::sync::watch;
use tower_sse::runs::RunKey;

use super::memory_store;
use crate::runs::seam::{Command, Connection, Failure, Overhead, Page, Reply, RunId};
use crate::runs::store::RedisStore;

/// The store in Redis or that in memory. Without tests, there is only the former.
pub(crate) enum Store {
    Redis(RedisStore),
    Memory(memory_store::Link),
}

impl From<RedisStore> for Store {
    fn from(store: RedisStore) -> Self {
        Self::Redis(store)
    }
}

impl From<memory_store::Link> for Store {
    fn from(link: memory_store::Link) -> Self {
        Self::Memory(link)
    }
}

/// Calls a method of either store.
macro_rules! either {
    ($self:ident.$($call:tt)+) => {
        match $self {
            Self::Redis(store) => store.$($call)+,
            Self::Memory(store) => store.$($call)+,
        }
    };
}

impl Store {
    pub(crate) fn lease(&self) -> Duration {
        either!(self.lease())
    }

    pub(crate) fn overhead(&self, key: &RunKey) -> Overhead {
        match self {
            Self::Redis(store) => store.overhead(key),
            // So that tests of limits count only events.
            Self::Memory(_) => Overhead::default(),
        }
    }

    pub(crate) fn connection(&self) -> watch::Receiver<Connection> {
        either!(self.connection())
    }

    pub(crate) async fn execute(
        &self,
        connection: Option<u64>,
        commands: Vec<Command>,
    ) -> Vec<Result<Reply, Failure>> {
        either!(self.execute(connection, commands).await)
    }

    pub(crate) async fn load(&self, run: &RunId, after: u64) -> Result<Page, Failure> {
        either!(self.load(run, after).await)
    }

    pub(crate) async fn subscribe(&self, run: &RunId) -> Result<(), Failure> {
        either!(self.subscribe(run).await)
    }

    pub(crate) fn unsubscribe(&self, run: &RunId) {
        either!(self.unsubscribe(run));
    }
}
