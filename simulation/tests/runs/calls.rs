use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use fastrand::Rng;
use futures_util::{Stream, stream};
use tokio::time::sleep;
use tower_sse::Event;
use tower_sse_simulation::redis::Network;

/// All calls of the service, which costs money.
#[derive(Clone)]
pub(crate) struct Calls {
    network: Network,
    list: Arc<Mutex<Vec<Call>>>,
}

/// One call of the service.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) key: usize,
    /// The life of the process that made it.
    pub(crate) life: usize,
    /// The time of the request for it.
    pub(crate) asked: u64,
    pub(crate) began: u64,
    /// The number of events that it will yield.
    pub(crate) planned: u64,
    pub(crate) fails: bool,
    pub(crate) end: Option<CallEnd>,
}

/// The end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallEnd {
    pub(crate) at: u64,
    /// Whether it has yielded everything. Otherwise, it was dropped.
    pub(crate) is_finished: bool,
}

/// The pace and the size of a call's events.
#[derive(Clone, Copy, Debug)]
struct Plan {
    events: u64,
    fails: bool,
    delay: u64,
    size: usize,
}

impl Calls {
    pub(crate) fn new(network: &Network) -> Self {
        Self { network: network.clone(), list: Arc::default() }
    }

    pub(crate) fn list(&self) -> MutexGuard<'_, Vec<Call>> {
        self.list.lock().unwrap()
    }

    /// Makes a call with a random plan. Its events have the call's number and their own.
    pub(crate) fn make(
        &self,
        mut rng: Rng,
        key: usize,
        life: usize,
        asked: u64,
    ) -> impl Stream<Item = Result<Event, &'static str>> + Send + use<> {
        let most = if rng.u8(..4) == 0 { 40 } else { 8 };
        let plan = Plan {
            events: rng.u64(1..most),
            fails: rng.u8(..6) == 0,
            delay: [0, 4, 100, 1_000, 3_000][rng.usize(..5)],
            // Some have more bytes than a script should read.
            size: if rng.u8(..8) == 0 { 5_000 } else { rng.usize(..40) },
        };
        let began = self.network.elapsed();
        let mut list = self.list();
        let number = list.len();
        let Plan { events: planned, fails, .. } = plan;
        list.push(Call { key, life, asked, began, planned, fails, end: None });
        drop(list);
        self.network.log(|| format!("call {number} of key {key} in life {life}: {plan:?}"));
        let guard = Guard { calls: self.clone(), number };
        stream::unfold((guard, rng.fork(), 0), move |(guard, mut rng, yielded)| async move {
            if plan.delay > 0 {
                sleep(Duration::from_millis(rng.u64(..=plan.delay))).await;
            }
            if yielded == plan.events {
                guard.finish();
                return plan.fails.then(|| (Err("no more tokens"), (guard, rng, yielded + 1)));
            }
            if yielded > plan.events {
                return None;
            }
            let data = format!("{} {yielded} {}", guard.number, "x".repeat(plan.size));
            Some((Ok(Event::from(data)), (guard, rng, yielded + 1)))
        })
    }
}

/// Records the end of a call.
struct Guard {
    calls: Calls,
    number: usize,
}

impl Guard {
    fn finish(&self) {
        self.end(true);
    }

    fn end(&self, is_finished: bool) {
        let at = self.calls.network.elapsed();
        let mut list = self.calls.list();
        let end = &mut list[self.number].end;
        if end.is_none() {
            *end = Some(CallEnd { at, is_finished });
            let number = self.number;
            let how = if is_finished { "has yielded everything" } else { "is dropped" };
            drop(list);
            self.calls.network.log(|| format!("call {number} {how}"));
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end(false);
    }
}
