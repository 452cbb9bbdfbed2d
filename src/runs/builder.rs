use std::{sync::Arc, time::Duration};

use super::options::{MAX_TIME, Options};
use super::{RunEnd, RunStore, Runs, process::Process};
use crate::{callback::Opaque, history::Retention};

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

    /// Connects to a store with the default limits. See [`RunsBuilder::connect`].
    ///
    /// # Errors
    ///
    /// Returns the store's error if the connection fails.
    pub async fn connect<S: RunStore>(store: S) -> Result<Self, S::Error> {
        Self::builder().connect(store).await
    }
}

impl Default for Runs {
    fn default() -> Self {
        Self::new()
    }
}

/// A builder for [`Runs`]. It limits how much memory the runs take, how many there are, and how
/// long they live.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{Retention, runs::Runs};
///
/// let runs = Runs::builder()
///     .retention(Retention::new().bytes(256 << 10).age(Duration::from_secs(300)))
///     .max_memory(3 << 30)
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
    /// Limits the [size](Retention::bytes) of the events that each run keeps, by default 2 MiB.
    /// Also sets [how long](Retention::age) a run is kept after its end, by default 5 minutes.
    ///
    /// # Size
    ///
    /// Each event counts as its size on the wire plus 112 bytes. With the default, a run keeps
    /// about 5,000 events of 300 bytes. In the JSON of model vendors, a token takes 100 to 350
    /// bytes. A run fails if one of its events doesn't fit.
    ///
    /// A full run evicts its oldest events to make room for new ones. While clients of this process
    /// are attached, the run evicts only events that the fastest client has read. If that doesn't
    /// free enough room, the source waits for this client. Without a client, the source never
    /// waits. If a client needs an evicted event, its request gets the
    /// [answer](super::Runs#answers) for a run that is gone. If it's already attached, its body
    /// fails, or ends with the event from [`on_error`](crate::SseLayer::on_error).
    ///
    /// A new run starts only if [`max_memory`](Self::max_memory) has room for it and all running
    /// runs, each counted at its full size. If `max_memory` doesn't have room for even one run of
    /// this size, only one run can run at a time, and it keeps less.
    ///
    /// # Age
    ///
    /// Once the run has been over for this long, requests no longer find it. Clients that are still
    /// reading the run can read the rest, unless [`max_memory`](Self::max_memory) evicts it. In a
    /// [store](super::RunStore), the age is at least a minute and at least four
    /// [leases](super#several-processes). With an age of zero, a run can be gone before its handler
    /// calls [`Run::answer`](super::Run::answer), which then returns `404`. An age of more than ten
    /// years counts as ten.
    ///
    /// # Panics
    ///
    /// Panics if the size is zero, or if `retention` has [`events`](Retention::events) or is
    /// [`latest`](Retention::latest), which are for topics only.
    #[track_caller]
    pub fn retention(mut self, retention: Retention) -> Self {
        let (bytes, age) = retention.of_run();
        self.options.retain_bytes = bytes;
        self.options.retain_for = age.min(MAX_TIME);
        self
    }

    /// Limits the total memory of all runs to `bytes`. The default is 2 GiB.
    ///
    /// A running run is never evicted to make room. Each one reserves the size of
    /// [`retention`](Self::retention) plus 2,752 bytes. With the defaults, 1,022 runs can run at a
    /// time, and further runs are refused with [`StartError::Full`](super::StartError::Full). If
    /// answers are short, a smaller `retention` admits more runs: with 64 KiB, the default memory
    /// has room for the 10,000 runs that [`max_running`](Self::max_running) allows.
    ///
    /// Ended runs are kept in the memory that running runs don't use. When new events or a new run
    /// need room, the following are evicted, in this order:
    ///
    /// 1. Ended runs that no client is reading, starting with the one that ended first.
    /// 2. This process's copies of runs of [other processes](super#several-processes), the largest
    ///    first. If an attached client needs an evicted event, its body fails. When the client
    ///    reconnects, the process loads the run again, or refuses the client if there's no room.
    /// 3. Ended runs that clients are still reading. Their response bodies fail.
    ///
    /// The limit counts runs, their events, and copies of events (frames) for clients that are
    /// behind. It also counts bookkeeping: 112 bytes for each event, less than 200 bytes for each
    /// frame, less than 2 KiB for each running run, and less than 1 KiB for each ended run. Long
    /// keys and error texts add to that. For example, an ended run that has 100 events of 45 bytes
    /// counts as 16 kB. Frames, and events that a source has begun but not completed, can take the
    /// total above `bytes`. The limit doesn't count:
    ///
    /// - The future of the run's call, the run's source, and everything that these two hold.
    /// - Evicted events and frames that a server still has to send.
    /// - Unused space in the chunks of up to 1 KiB that small events share.
    ///
    /// With a [store](super::RunStore), an ended run is evicted only once the store has recorded
    /// its end. A second limit of the same size applies to the memory that this process's runs take
    /// in the store. For Redis, this memory is [an
    /// estimate](https://docs.rs/tower-sse-redis/latest/tower_sse_redis/running/#sizes-and-limits).
    /// Above this limit, the process deletes ended runs from the store. It starts with runs whose
    /// key a newer run has taken, and continues with the others, in the order of their ends.
    pub fn max_memory(mut self, bytes: usize) -> Self {
        self.options.max_memory = bytes;
        self
    }

    /// Limits the memory of each owner's ended runs to `bytes`, which leaves room for the runs of
    /// other owners. By default, only [`max_memory`](Self::max_memory) limits the total of an
    /// owner's ended runs. The limit doesn't apply to runs with a [shared](super::RunKey::shared)
    /// key.
    ///
    /// Above this limit, the owner's ended runs are evicted, even those that clients are reading,
    /// starting with the one that ended first. The one that ended last is never evicted by this
    /// limit. Two things count only towards `max_memory`: [frames](Self::max_memory) that are made
    /// after a run's end, and replaced or expired runs that a client is still reading.
    ///
    /// With a [store](super::RunStore), the same limit applies to the memory that an owner's ended
    /// runs take there. Only runs of this process count. A call that returned no event stream
    /// counts too, for two [leases](super#several-processes) after its answer.
    pub fn max_memory_per_owner(mut self, bytes: usize) -> Self {
        self.options.max_memory_per_owner = Some(bytes);
        self
    }

    /// Sets how long a run continues without a client, before it ends as
    /// [`Abandoned`](super::Outcome::Abandoned). The default is 10 minutes. `Duration::MAX` turns
    /// it off.
    ///
    /// The clock starts when the run starts, and again whenever the last client detaches. A client
    /// that waits for the call's answer counts as attached.
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

    /// Sets how long a run may take from its start. After this time, the run ends as
    /// [`Failed`](super::Outcome::Failed), whether or not a client is attached. By default, there
    /// is no limit, and a browser page that stays open keeps an endless source running.
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
    /// [`max_memory`](Self::max_memory) admits only 1,022 by default. Ended runs do not count.
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

    /// Limits how many runs of one owner may be running at a time. The default is 16. Runs with a
    /// [shared](super::RunKey::shared) key have no owner.
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

    /// Adds a closure that is called when a run ends, whatever its outcome, for example to bill it.
    ///
    /// Without a store, it's called once for each run. With a store, it can be called more than
    /// once, with the same key and [`RunEnd::id`]: bill each pair only once. If a run's process
    /// dies, another process [soon](super#several-processes) calls its own closures for the run.
    ///
    /// The closure is also called if the run's call panics, or if the run is cancelled, abandoned
    /// or interrupted before the call has answered. It isn't called if the answer isn't
    /// [recorded](super::RunLayer#responses).
    ///
    /// The closures are called in the order in which you added them, on the thread that ends the
    /// run, while no lock of the `Runs` is held. Their panics are caught.
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

    /// Connects to a store. All processes that use the store share their runs. The future is ready
    /// once other processes can reach the runs of this process.
    ///
    /// # Errors
    ///
    /// Returns the store's error if the connection fails.
    ///
    /// # Panics
    ///
    /// Panics if there's no tokio runtime, or if the runtime's timers aren't enabled.
    pub async fn connect<S: RunStore>(self, store: S) -> Result<Runs, S::Error> {
        let (process, shared) = store.connect(self.options).await?;
        Ok(Runs { process, shared: Some(shared) })
    }
}
