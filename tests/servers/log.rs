use std::sync::{Arc, Mutex, Once};

use tracing::{
    Level, Subscriber,
    subscriber::{DefaultGuard, NoSubscriber, set_default, set_global_default},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry,
};

/// What is logged on a thread: level, target.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<(Level, &'static str)>>>);

impl Log {
    /// Records what is logged on this thread until the guard is dropped. Others, which run other tests,
    /// are not heard.
    pub(crate) fn record() -> (Self, DefaultGuard) {
        // While there is only one subscriber, tracing asks that of the thread on which a line is first met, and keeps
        // the answer for all threads. With this one there are two, and it asks both.
        static ANOTHER: Once = Once::new();
        ANOTHER.call_once(|| set_global_default(NoSubscriber::default()).unwrap());
        let log = Self::default();
        let guard = set_default(registry().with(log.clone()));
        (log, guard)
    }

    /// What is above DEBUG.
    pub(crate) fn above_debug(&self) -> Vec<(Level, &'static str)> {
        let events = self.0.lock().unwrap();
        events.iter().copied().filter(|(level, _)| *level < Level::DEBUG).collect()
    }

    /// How many lines come from the crate.
    pub(crate) fn own_lines(&self) -> usize {
        let events = self.0.lock().unwrap();
        events.iter().filter(|(_, target)| target.starts_with("tower_sse")).count()
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        self.0.lock().unwrap().push((*metadata.level(), metadata.target()));
    }
}
