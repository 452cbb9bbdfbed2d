use std::{sync::Arc, time::Duration};

use super::{
    RunEnd, RunStore, Runs,
    options::{MAX_TIME, Options},
    process::Process,
};
use crate::callback::Opaque;

impl Runs {
    /// Creates a `Runs` with the default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder that sets limits.
    pub fn builder() -> RunsBuilder {
        RunsBuilder::default()
    }

    /// Creates runs that all processes with the same store share, with the default limits. See
    /// [`RunsBuilder::connect`].
    ///
    /// # Errors
    ///
    /// Returns the error of the store if it cannot connect.
    pub async fn connect<S: RunStore>(store: S) -> Result<Self, S::Error> {
        Self::builder().connect(store).await
    }
}

impl Default for Runs {
    fn default() -> Self {
        Self::new()
    }
}

/// A builder for [`Runs`] that sets the limits of their memory, number and lifetime.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::runs::Runs;
///
/// let runs = Runs::builder()
///     .retain_bytes(256 << 10)
///     .max_memory(3 << 30)
///     .retain_for(Duration::from_secs(300))
///     .abandon_after(Duration::from_secs(600))
///     .max_running(10_000)
///     .max_running_per_owner(16)
///     .on_end(|end| println!("{} events, {}", end.events, end.outcome))
///     .build();
/// # _ = runs;
/// ```
#[derive(Debug, Default)]
#[must_use]
pub struct RunsBuilder {
    options: Options,
}

impl RunsBuilder {
    /// Limits the memory of the events that each run keeps to `bytes`. The default is 2 MiB.
    ///
    /// Each event takes its bytes on the wire and 112 more. With the default, a run keeps about
    /// 13,000 events of 45 bytes each, or 5,000 of 300 bytes, such as the tokens of a language model
    /// in its vendor's JSON.
    ///
    /// Once a run has reached the limit, the oldest events are evicted to make room for new ones:
    ///
    /// - While a client is attached, only events that the fastest client has read are evicted. If
    ///   there are none, the source is not polled until that client has read one. If a slower
    ///   client needs an evicted event, its body fails, and it gets `404` when it reconnects.
    /// - While no client is attached, any event can be evicted, so the source never waits. A client
    ///   that needs an evicted event later gets `404`.
    ///
    /// A run fails if one of its events does not fit into the limit.
    ///
    /// A running run always has room for `bytes`: [`max_memory`](Self::max_memory) admits only as
    /// many runs as it can hold. A limit above `max_memory` is that of one run at a time.
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

    /// Limits the total memory of all runs to `bytes`. The default is 2 GiB.
    ///
    /// A running run is never evicted to make room. A new run is admitted only if `max_memory` holds
    /// [`retain_bytes`](Self::retain_bytes) and 2,752 bytes of bookkeeping for it and for each
    /// running run: with the defaults, 1,022 runs can run at a time. Otherwise, the request is refused
    /// with [`StartError::Full`](super::StartError::Full). To admit more short answers, lower
    /// `retain_bytes`: with 64 KiB, the default holds [`max_running`](Self::max_running) runs.
    ///
    /// Most runs need less than they may keep. The rest of the memory has runs that have ended. When
    /// recorded bytes or a new run need room, the following is evicted, in this order:
    ///
    /// 1. Runs that have ended and that no client reads, the oldest first.
    /// 2. What this process has of runs of [other processes](super#several-processes), the largest
    ///    first. A client that needs an evicted event loses its body, or gets a refusal, and loads the
    ///    run again when it reconnects.
    /// 3. Runs that have ended and that clients read. The bodies of these clients fail.
    ///
    /// A run that has ended, but whose end the store does not have yet, is not evicted: while the
    /// store is away, no run starts that would need the room.
    ///
    /// Runs, their events, and the frames that they keep for clients that are behind count with
    /// their bookkeeping. It is less than 200 bytes for an event or a frame, and less than 2 KiB for
    /// a run with its task, unless its key is long. Frames are kept only while there is room for
    /// them, but room is not kept free for them: if all running runs reach their limits, their frames
    /// exceed the limit. So do incomplete events, which a source has not ended yet. These do not
    /// count:
    ///
    /// - The service's future, its stream, and what they hold.
    /// - Evicted events and frames that a server still has to send. They are in memory once for all
    ///   clients that hold them.
    /// - Of the chunks of 1 KiB in which small events share memory, the parts before a run's oldest
    ///   event and after its newest.
    ///
    /// For example, a run of 100 events of 45 bytes each counts as 16 kB. A client that replays it
    /// adds a frame, which counts as 5 kB. If 16 clients resume after different events, their frames
    /// count as 69 kB.
    ///
    /// With a [store](super::RunStore), the limit also applies to the memory that the runs of this
    /// process need there, with their keys and their bookkeeping. For Redis, that is about 5.3 kB for a
    /// run, twice the length of its encoded key, its events, and 48 bytes for each batch of them. Above
    /// the limit, the runs that ended first are deleted there.
    pub fn max_memory(mut self, bytes: usize) -> Self {
        self.options.max_memory = bytes;
        self
    }

    /// Limits the memory of an owner's runs that have ended to `bytes`, so that one owner cannot
    /// evict the runs of all others. By default, only [`max_memory`](Self::max_memory) limits them.
    ///
    /// Beyond it, the owner's runs that ended first are evicted, but never the one that ended last.
    /// Each process with a [store](super::RunStore) applies the limit to the memory that its runs need
    /// there, too. Calls that return no event stream count there for two leases. Running runs of an owner are limited by
    /// [`max_running_per_owner`](Self::max_running_per_owner) and
    /// [`retain_bytes`](Self::retain_bytes). Runs with a [shared](super::RunKey::shared) key have no
    /// owner.
    ///
    /// ```
    /// use tower_sse::runs::Runs;
    ///
    /// let runs = Runs::builder().max_memory(1 << 30).max_memory_per_owner(16 << 20).build();
    /// ```
    pub fn max_memory_per_owner(mut self, bytes: usize) -> Self {
        self.options.max_memory_per_owner = Some(bytes);
        self
    }

    /// Sets how long a run is kept after its end. The default is 5 minutes.
    ///
    /// After that, the key is free. With a [store](super::RunStore), each run is kept there for at
    /// least a minute and at least four leases: until then, the key is taken, and a completed run
    /// is answered from the store. Clients that are still reading can read the rest, unless
    /// [`max_memory`](Self::max_memory) evicts it. With a time of zero, a run can be forgotten
    /// before its handler calls [`Run::answer`](super::Run::answer), which then returns `404`. More
    /// than ten years count as ten years.
    pub fn retain_for(mut self, age: Duration) -> Self {
        self.options.retain_for = age.min(MAX_TIME);
        self
    }

    /// Sets how long a run continues without a client. After this time, it ends as
    /// [`Abandoned`](super::Outcome::Abandoned). The default is 10 minutes.
    ///
    /// The time starts with the call, and restarts whenever the last client detaches. A client that
    /// waits for the call's answer counts as attached. With `Duration::MAX`, a run is never
    /// abandoned.
    ///
    /// # Panics
    ///
    /// Panics if the time is zero, because no run could start.
    #[track_caller]
    pub fn abandon_after(mut self, time: Duration) -> Self {
        assert!(!time.is_zero(), "the time after which a run is abandoned must not be zero");
        self.options.abandon_after = time.min(MAX_TIME);
        self
    }

    /// Sets how long a run may take. After this time, it ends as
    /// [`Failed`](super::Outcome::Failed), whether or not a client is attached. By default, there
    /// is no limit.
    ///
    /// The time starts with the call. Without a limit, a page that stays open keeps a source alive
    /// that never ends.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_sse::runs::Runs;
    ///
    /// let runs = Runs::builder().max_duration(Duration::from_secs(3600)).build();
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the time is zero, because no run could start.
    #[track_caller]
    pub fn max_duration(mut self, time: Duration) -> Self {
        assert!(!time.is_zero(), "the maximum duration of a run must not be zero");
        self.options.max_duration = time.min(MAX_TIME);
        self
    }

    /// Limits how many runs may be running at a time. The default is 10,000, but
    /// [`max_memory`](Self::max_memory) admits only 1,022 by default. Runs that have ended do not
    /// count.
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

    /// Adds a closure that is called once for each run, when the run ends with any outcome. Use it
    /// for billing and reports.
    ///
    /// A call that panics, or is cancelled, abandoned or interrupted, before it answers counts as a
    /// run. A call that returns anything but an event stream does not.
    ///
    /// The closure is called on the thread that ends the run, while no lock is held. All closures
    /// are called, in the order in which they were added; a panic of one is caught.
    pub fn on_end<F>(mut self, callback: F) -> Self
    where
        F: Fn(&RunEnd) + Send + Sync + 'static,
    {
        self.options.on_end.push(Opaque(Arc::new(callback)));
        self
    }

    /// Creates the [`Runs`].
    #[must_use]
    pub fn build(self) -> Runs {
        Runs { process: Arc::new(Process::new(self.options, None)), shared: None }
    }

    /// Creates runs that all processes with the same store share.
    ///
    /// It is ready once other processes can reach the runs of this one.
    ///
    /// # Errors
    ///
    /// Returns the error of the store if it cannot connect.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime with timers.
    pub async fn connect<S: RunStore>(self, store: S) -> Result<Runs, S::Error> {
        let (process, shared) = store.connect(self.options).await?;
        Ok(Runs { process, shared: Some(shared) })
    }
}
