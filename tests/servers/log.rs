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

/// The lines logged on a thread: level and target.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<(Level, &'static str)>>>);

impl Log {
    /// Records the lines of this thread until the guard is dropped. Other threads, which run other
    /// tests, are not recorded.
    pub(crate) fn record() -> (Self, DefaultGuard) {
        // With a single subscriber, tracing asks that of the first thread to reach a callsite and
        // keeps the answer for all threads. This second subscriber makes it ask both.
        static ANOTHER: Once = Once::new();
        ANOTHER.call_once(|| set_global_default(NoSubscriber::default()).unwrap());
        let log = Self::default();
        let guard = set_default(registry().with(log.clone()));
        (log, guard)
    }

    /// Returns the lines above DEBUG.
    pub(crate) fn above_debug(&self) -> Vec<(Level, &'static str)> {
        let events = self.0.lock().unwrap();
        events.iter().copied().filter(|(level, _)| *level < Level::DEBUG).collect()
    }

    /// Returns the number of lines from the crate.
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
