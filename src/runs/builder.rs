use std::{fmt, sync::Arc, time::Duration};

use super::{RunEnd, Runs, options::Options, registry::RunLimits};

const MINUTE: Duration = Duration::from_secs(60);
/// The longest time after which a run is abandoned, so that the sum with any time is a time.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A builder of [`Runs`] with limits on their memory, number and lifetime.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::runs::Runs;
///
/// let runs = Runs::builder()
///     .retain_bytes(8 << 20)
///     .max_memory(256 << 20)
///     .retain_for(Duration::from_secs(300))
///     .abandon_after(Duration::from_secs(600))
///     .max_running(10_000)
///     .max_running_per_owner(16)
///     .on_end(|end| println!("{} events, {}", end.events(), end.outcome()))
///     .build();
/// # _ = runs;
/// ```
#[must_use]
pub struct RunsBuilder {
    options: Options,
}

impl RunsBuilder {
    pub(super) fn new() -> Self {
        Self {
            options: Options {
                retain_bytes: 8 << 20,
                max_memory: 256 << 20,
                retain_for: 5 * MINUTE,
                abandon_after: 10 * MINUTE,
                limits: RunLimits { running: 10_000, running_per_owner: 16 },
                leading_ids: false,
                on_end: Vec::new(),
            },
        }
    }

    /// Limits the size of the events that each run keeps, to `bytes` on the wire. The default is
    /// 8 MiB.
    ///
    /// A full record depends on its clients:
    ///
    /// - While a client is attached, the oldest events that the fastest client has read are
    ///   evicted. If it has read none of them, the source is not polled until it has. If a slower
    ///   client needs an evicted event, its body fails, and it gets `404` when it reconnects.
    /// - While no client is attached, the oldest events are evicted, so the source never waits. A
    ///   client that comes later and needs one of them gets `404`.
    ///
    /// An event larger than the limit fails the run.
    ///
    /// # Panics
    ///
    /// Panics if `bytes` is zero.
    #[track_caller]
    pub fn retain_bytes(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "the size of a record must not be zero");
        self.options.retain_bytes = bytes;
        self
    }

    /// Limits the memory of all runs together, to `bytes`. The default is 256 MiB.
    ///
    /// | counted | bytes |
    /// |---|---|
    /// | an event | its size on the wire and 112 |
    /// | a run | 704 and its key |
    /// | the task of a running run, without its service or stream | 1,024 |
    /// | a frame kept for clients that are behind, up to 16 of each run | its size (less than 20 KiB), plus 170 |
    ///
    /// Beyond the limit, runs that have ended are forgotten, the oldest first. If that is not
    /// enough, 32 running runs are compared at a time: the largest loses its frames or, if it has
    /// none, the older half of its events. Clients that have not read these events fail. A running
    /// run is never stopped.
    pub fn max_memory(mut self, bytes: usize) -> Self {
        self.options.max_memory = bytes;
        self
    }

    /// Sets how long a run is kept after its end. The default is 5 minutes.
    ///
    /// After that, the key is free. Clients that are still reading can read the rest, unless
    /// [`max_memory`](Self::max_memory) evicts it.
    pub fn retain_for(mut self, age: Duration) -> Self {
        self.options.retain_for = age;
        self
    }

    /// Sets how long a run goes on without a client. The default is 10 minutes.
    ///
    /// The time counts from the start of the call, and again from the moment at which the last
    /// client leaves. A client that waits for the call's answer counts as attached. `Duration::MAX`
    /// never abandons a run.
    ///
    /// # Panics
    ///
    /// Panics if the time is zero, as no run could start.
    #[track_caller]
    pub fn abandon_after(mut self, time: Duration) -> Self {
        assert!(!time.is_zero(), "the time after which a run is abandoned must not be zero");
        self.options.abandon_after = time.min(LONGEST);
        self
    }

    /// Limits how many runs may be running at a time. The default is 10,000. A run that ended, and
    /// is only kept, does not count.
    ///
    /// # Panics
    ///
    /// Panics if `runs` is zero.
    #[track_caller]
    pub fn max_running(mut self, runs: usize) -> Self {
        assert!(runs > 0, "the limit of running runs must not be zero");
        self.options.limits.running = runs;
        self
    }

    /// Limits how many runs of one owner may be running at a time. The default is 16.
    ///
    /// Runs with a [shared](super::RunKey::shared) key have no owner: only
    /// [`max_running`](Self::max_running) limits them.
    ///
    /// # Panics
    ///
    /// Panics if `runs` is zero.
    #[track_caller]
    pub fn max_running_per_owner(mut self, runs: usize) -> Self {
        assert!(runs > 0, "the limit of running runs must not be zero");
        self.options.limits.running_per_owner = runs;
        self
    }

    /// Sets whether each connection starts with an extra id line, that of the event before the
    /// first one sent. Off by default.
    ///
    /// Set it for clients that apply an `id` line to the `data` lines after it, such as
    /// `@tanstack/ai-client` 0.33: otherwise they receive one event twice after each reconnection.
    /// Clients that follow the standard take the last id of an event. A few fail at two ids in one
    /// event, such as sse-stream 0.2, which rmcp's client uses.
    pub fn leading_ids(mut self, leading_ids: bool) -> Self {
        self.options.leading_ids = leading_ids;
        self
    }

    /// Adds a closure that is called once when a run ends, with any outcome. Use it for billing and
    /// for reports.
    ///
    /// Calls that are cancelled, abandoned or interrupted, or that panic, before they answer count
    /// as runs; calls that return something other than an event stream do not. The closure runs on
    /// the thread that ended the run, and holds no lock. All closures are called, in the order in
    /// which they were added; a panic of one is caught.
    pub fn on_end<F>(mut self, callback: F) -> Self
    where
        F: Fn(&RunEnd) + Send + Sync + 'static,
    {
        self.options.on_end.push(Arc::new(callback));
        self
    }

    /// Returns the runs.
    #[must_use]
    pub fn build(self) -> Runs {
        Runs::of(self.options)
    }
}

impl Default for RunsBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RunsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RunsBuilder").field(&self.options).finish()
    }
}
