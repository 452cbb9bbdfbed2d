//! A broker whose processes read the log itself, and which can be wrong in one way.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use serde_json::Value;
use tower_sse::{
    hub::{
        PublishError,
        broker::{Acknowledged, Broker, Closed, Feed, Publication, Publisher},
    },
    testing::broker::{Fault, World},
};

use super::log::{Log, NAME, encode, feed_entry};

/// What is wrong with a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    DropsNames,
    /// Each second process has an order of its own.
    OwnOrder,
    NoHistory,
    SilentLoss,
    OtherNumbers,
    ForgottenEnds,
}

struct Local {
    log: Log,
    flaw: Option<Flaw>,
    processes: AtomicUsize,
}

pub(super) struct LocalWorld(Arc<Local>);

impl LocalWorld {
    pub(super) fn new(flaw: Option<Flaw>) -> Self {
        Self(Arc::new(Local { log: Log::new(), flaw, processes: AtomicUsize::new(0) }))
    }
}

impl World for LocalWorld {
    type Broker = Process;

    fn broker(&self) -> Process {
        Process {
            local: Arc::clone(&self.0),
            index: self.0.processes.fetch_add(1, Relaxed),
            read: 0,
        }
    }

    fn trim(&self, keep: usize) -> Option<Fault<'_>> {
        Some(Box::pin(async move { self.0.log.trim(keep) }))
    }

    fn lose(&self) -> Option<Fault<'_>> {
        Some(Box::pin(async { self.0.log.lose() }))
    }

    fn roll_back(&self) -> Option<(Fault<'_>, Fault<'_>)> {
        let log = &self.0.log;
        Some((Box::pin(async { log.copy() }), Box::pin(async { log.put_back() })))
    }
}

/// The broker of one process.
pub(super) struct Process {
    local: Arc<Local>,
    index: usize,
    /// The number up to which the process has read.
    read: u64,
}

impl Process {
    fn has(&self, flaw: Flaw) -> bool {
        self.local.flaw == Some(flaw)
    }

    fn feed_new(&mut self, feed: &mut Feed) -> Result<(), Closed> {
        let mut entries = self.local.log.read(self.read);
        self.read = entries.last().map_or(self.read, |(number, ..)| *number);
        if self.has(Flaw::OwnOrder) && self.index % 2 == 1 {
            let numbers: Vec<_> = entries.iter().map(|(number, ..)| *number).collect();
            entries.reverse();
            entries.iter_mut().zip(numbers).for_each(|(entry, number)| entry.0 = number);
        }
        if self.has(Flaw::SilentLoss) {
            entries.retain(|(.., text)| text.is_some());
        }
        entries.into_iter().try_for_each(|entry| feed_entry(feed, entry).map(drop))
    }
}

impl Broker for Process {
    type Publisher = LocalPublisher;
    type Error = Infallible;

    fn name(&self) -> String {
        self.local.log.name.clone()
    }

    async fn start(mut self, mut feed: Feed) -> Result<LocalPublisher, Infallible> {
        let publisher = LocalPublisher(Arc::clone(&self.local));
        let mut changes = self.local.log.changes();
        if self.has(Flaw::NoHistory) {
            self.read = self.local.log.newest();
        }
        _ = self.feed_new(&mut feed);
        feed.spawn(
            async move |mut feed| {
                while changes.changed().await.is_ok() && self.feed_new(&mut feed).is_ok() {}
            },
        );
        Ok(publisher)
    }
}

pub(super) struct LocalPublisher(Arc<Local>);

impl Publisher for LocalPublisher {
    async fn publish(&self, mut publication: Publication) -> Result<Acknowledged, PublishError> {
        publication.ends_topic &= self.0.flaw != Some(Flaw::ForgottenEnds);
        let mut fields = encode(&publication);
        if self.0.flaw == Some(Flaw::DropsNames) {
            fields[NAME] = Value::Null;
        }
        let (number, at) = self.0.log.append(Some(fields.to_string()));
        let is_other = self.0.flaw == Some(Flaw::OtherNumbers);
        Ok(Acknowledged::new(number + u64::from(is_other), at))
    }
}
