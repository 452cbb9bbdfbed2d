use std::{sync::Arc, time::Duration};

use super::options::{MAX_TIME, Options};
use super::{RunEnd, RunStore, Runs, process::Process};
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

    /// Connects to a store, with the default limits. See [`RunsBuilder::connect`].
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

/// A builder for [`Runs`] that limits the memory, number and duration of runs.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::runs::Runs;
///
/// let runs = Runs::builder()
///     .retain_bytes(256 << 10)
///     .retain_for(Duration::from_secs(3600))
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
    /// Limits the total size of the events that each run keeps to `bytes`, by default 2 MiB.
    ///
    /// By default, a run keeps about 14,000 events of one token each. Each event counts as its size
    /// on the wire plus 112 bytes. If a single event exceeds the limit, the run fails.
    ///
    /// A full run evicts its oldest events to make room for new ones. While clients are attached,
    /// the run keeps the events that the fastest of them hasn't read. If there's no room left, the
    /// source waits for that client. Without a client, the source never waits. Clients of [other
    /// processes](super#several-processes) don't count here.
    ///
    /// If a slower client needs an evicted event, its body [fails](super::Outcome). A request that
    /// needs an evicted event gets [`404` or `interrupted`](super::Runs#answers).
    ///
    /// # Panics
    ///
    /// Panics if `bytes` is zero.
    #[track_caller]
    pub fn retain_bytes(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "the size of a run must not be zero");
        self.options.retain_bytes = bytes;
        self
    }

    /// Sets how long a run is kept after its end, by default 5 minutes.
    ///
    /// Once a run has been over for longer than this age, requests no longer find it. Clients that
    /// are reading it can read the rest, unless [`max_memory`](Self::max_memory) evicts it. In a
    /// [store](super::RunStore), the age is at least a minute, and at least four [lease
    /// periods](super#several-processes).
    ///
    /// If the age is zero, [`Run::answer`](super::Run::answer) can return `404`, because the run is
    /// gone already.
    pub fn retain_for(mut self, age: Duration) -> Self {
        self.options.retain_for = age.min(MAX_TIME);
        self
    }

    /// Limits the total memory of all runs to `bytes`. The default is 2 GiB. With the default
    /// [size](Self::retain_bytes), this admits 1,022 running runs. Further runs are refused with
    /// [`StartError::Full`](super::StartError::Full).
    ///
    /// A running run reserves this size plus 2,752 bytes and is never evicted.
    ///
    /// If your answers are short, a smaller size admits more runs. With 64 KiB, the default memory
    /// has room for the 10,000 runs that [`max_running`](Self::max_running) allows.
    ///
    /// # Eviction
    ///
    /// Ended runs are kept in the memory that running runs don't use. When more room is needed,
    /// memory is freed in this order:
    ///
    /// 1. Ended runs that no client is reading, starting with the one that ended first.
    /// 2. This process's copies of [other processes'](super#several-processes) runs, the largest
    ///    first. If an attached client needs an evicted event, its body fails. When the client
    ///    reconnects, the process loads the run again, or refuses the client.
    /// 3. Ended runs that clients are still reading. The clients' response bodies then fail.
    ///
    /// # What counts
    ///
    /// The limit counts runs, their events, and copies of events (frames) for clients that are
    /// behind. For example, an ended run that has 100 events of 45 bytes counts as 16 kB. The limit
    /// doesn't count the memory of your handler and its stream, or evicted data that the server
    /// hasn't sent yet. Frames and incomplete events can take the total above `bytes`.
    ///
    /// # With a store
    ///
    /// With a [store](super::RunStore), an ended run usually isn't evicted before the store has
    /// recorded its end. A second limit of the same size applies to the memory that this process's
    /// runs take in the store. For Redis, the process [estimates][an estimate] this memory. Above
    /// this limit, the process deletes ended runs from the store, first those that the store would
    /// delete soonest.
    ///
    /// [an estimate]: https://docs.rs/tower-sse-redis/latest/tower_sse_redis/running/#runs
    pub fn max_memory(mut self, bytes: usize) -> Self {
        self.options.max_memory = bytes;
        self
    }

    /// Sets how long a run continues without a client, before it ends as
    /// [`Abandoned`](super::Outcome::Abandoned). The default is 10 minutes. `Duration::MAX` turns
    /// this limit off.
    ///
    /// The clock starts with the run, and restarts when the last client detaches. For a client of
    /// [another process](super#several-processes), it restarts up to three quarters of a lease
    /// later. A client that waits for a starting run counts as attached.
    ///
    /// # Panics
    ///
    /// Panics if the time is zero.
    #[track_caller]
    pub fn abandon_after(mut self, time: Duration) -> Self {
        assert!(!time.is_zero(), "the time after which a run is abandoned must not be zero");
        self.options.abandon_after = time.min(MAX_TIME);
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
        self.options.max_running = runs;
        self
    }

    /// Limits how many runs of one owner may be running at a time. The default is 16. The limit
    /// doesn't apply to runs with a [shared](super::RunKey::shared) key, which have no owner.
    ///
    /// # Panics
    ///
    /// Panics if `runs` is zero.
    #[track_caller]
    pub fn max_running_per_owner(mut self, runs: usize) -> Self {
        assert!(runs > 0, "the limit of running runs must not be zero");
        self.options.max_running_per_owner = runs;
        self
    }

    /// Adds a closure that is called whenever a run ends, for example for billing.
    ///
    /// Without a store, it's called at most once for each run. With a store, it can be called more
    /// than once for a run, with the same key and [`RunEnd::id`]. Bill for each combination of key
    /// and id only once. If a run's process dies, another process [soon](super#several-processes)
    /// calls its own closures for the run. If no process is left, the next process to start calls
    /// them, if it starts within a day. Otherwise, no closure is called.
    ///
    /// A run that ends before your handler has answered is reported too, for example if the handler
    /// panics. Answers that aren't [recorded](super::RunLayer#responses) aren't reported.
    ///
    /// The closures are called in the order in which you added them, on the thread that ends the
    /// run. Clients don't wait for them: a client's stream can end before they are called, and it
    /// can still be open when they return. If a closure panics, the panic is caught.
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
    /// Panics outside a tokio runtime, or if the runtime's timers or I/O aren't enabled.
    pub async fn connect<S: RunStore>(self, store: S) -> Result<Runs, S::Error> {
        let (process, shared) = store.connect(self.options).await?;
        Ok(Runs { process, shared: Some(shared) })
    }
}
