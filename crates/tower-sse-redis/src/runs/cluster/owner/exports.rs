use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::{mem, time::Duration};

use tokio::{sync::Notify, time::Instant, time::sleep, time::sleep_until, time::timeout_at};
use tower_sse::runs::__private::{Epoch, Options, Process, Record};
use tower_sse::runs::Outcome;

use super::export::{Effect, Export};
use super::plan::{Plan, Target};
use super::queue::{LostClaim, Queue};
use crate::runs::cluster::timing::{RETRY_DELAY, Timing};
use crate::runs::seam::{Connection, Failure, Overhead, ProcessId, Reply, RunId};
use crate::runs::store::Store;
use tower_sse_broker::tasks::{caught, lock};

/// Exports the runs of this process until its [`Runs`](tower_sse::runs::Runs) is dropped. After a
/// panic, starts again, but only after a delay: repeated panics would occupy a processor.
pub(crate) async fn supervise(process: Weak<Process>, exports: Arc<Exports>, store: Arc<Store>) {
    while caught(run(&process, &exports, &store)).await.is_none() {
        sleep(RETRY_DELAY).await;
    }
}

async fn run(process: &Weak<Process>, exports: &Exports, store: &Store) {
    let connection = store.connection();
    let mut latest = 0;
    let mut pace = Pace::new();
    loop {
        // The loop keeps the process alive while there are runs to export.
        let Some(process) = process.upgrade() else { return };
        let up = match *connection.borrow() {
            Connection::Up(number) => Some(number),
            Connection::Down => None,
        };
        if let Some(number) = up.filter(|number| *number != latest) {
            latest = number;
            exports.reconnect();
        }
        if up.is_some() && exports.next_due().is_some_and(|due| due <= Instant::now()) {
            // Commands that become due during this wait join the pipeline.
            pace.wait().await;
        }
        if up.is_some() && export(&process, exports, store, latest, &mut pace).await {
            continue;
        }
        let due = exports.next_due().filter(|_| up.is_some());
        let process = Some(process).filter(|_| !exports.is_empty());
        match due {
            Some(due) => _ = timeout_at(due, exports.changed.notified()).await,
            None => exports.changed.notified().await,
        }
        drop(process);
    }
}

/// Sends the commands that are due. Returns `false` if there are none.
async fn export(
    process: &Arc<Process>,
    exports: &Exports,
    store: &Store,
    connection: u64,
    pace: &mut Pace,
) -> bool {
    let mut plan = exports.plan(connection, &process.options);
    // Dropped last, because the program's code can take long.
    let _forgotten = mem::take(&mut plan.forgotten);
    if plan.len() == 0 {
        return false;
    }
    pace.record(Instant::now(), plan.work());
    let (targets, commands) = plan.into_commands();
    let results = store.execute(Some(connection), commands).await;
    for (record, effect) in exports.apply(targets, results, connection) {
        match effect {
            Effect::Ended => {}
            Effect::Stop(lines) => {
                let lines = Some(&lines[..]).filter(|lines| !lines.is_empty());
                process.cancel_record(&record, lines);
                continue;
            }
            // Another run has the key.
            Effect::Over(Outcome::Cancelled) => _ = process.cancel_record(&record, None),
            // Only the owner completes a run. Otherwise, another process has interrupted it.
            Effect::Over(_) => process.fence(&record),
            Effect::Lost(reason) => process.lose(&record, reason),
        }
        process.acknowledge_end(&record);
    }
    exports.replied.notify_waiters();
    true
}

/// The runs of this process that the store should have, and when each is due.
pub(crate) struct Exports {
    queue: Mutex<Queue>,
    /// Notified when a run becomes due earlier.
    changed: Notify,
    /// Notified when replies were applied.
    pub(crate) replied: Notify,
}

impl Exports {
    pub(crate) fn new(id: ProcessId, timing: Timing) -> Self {
        let queue = Mutex::new(Queue::new(id, timing));
        Self { queue, changed: Notify::new(), replied: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    /// Adds a run whose claim was acknowledged, with the memory that the store needs for it.
    pub(crate) fn add(&self, record: Arc<Record>, overhead: Overhead) {
        self.lock().add(record, overhead);
        self.changed.notify_one();
    }

    /// Makes the next thousand plans of a run panic, for tests.
    #[cfg(test)]
    pub(crate) fn break_plans(&self, epoch: Epoch) {
        if let Some(export) = self.lock().exports.get_mut(&epoch) {
            export.panics = 1_000;
        }
    }

    /// Makes a run due, because it has events that are not exported yet.
    pub(crate) fn make_due(&self, epoch: Epoch) {
        let now = Instant::now();
        if self.lock().hasten(epoch, |export| export.export_at(now)) {
            self.changed.notify_one();
        }
    }

    /// Makes runs due, because their phases have changed.
    pub(crate) fn mark_all(&self, records: &[Arc<Record>]) {
        if !records.is_empty() {
            self.hasten_all(records.iter().map(|record| record.epoch), |_| {});
        }
    }

    /// Makes a run due for a `Sync`.
    pub(crate) fn synchronize(&self, epoch: Epoch) {
        self.hasten_all([epoch], Export::synchronize);
    }

    /// Makes a run due for a `Sync`, unless it has ended since the hint that preceded this call.
    pub(crate) fn asked(&self, epoch: Epoch) {
        if !self.has_ended(epoch) {
            self.synchronize(epoch);
        }
    }

    /// Records that a client of another process watches a run.
    pub(crate) fn watched(&self, run: RunId) {
        if self.lock().watched(run) {
            self.changed.notify_one();
        }
    }

    /// Records that, in the store, another run has taken the key of this process's run.
    pub(crate) fn replaced(&self, epoch: Epoch) {
        self.lock().replaced(epoch);
        self.synchronize(epoch);
    }

    /// Makes all runs due for a `Sync`.
    pub(crate) fn synchronize_all(&self) {
        let epochs: Vec<_> = self.lock().exports.keys().copied().collect();
        self.hasten_all(epochs, Export::synchronize);
    }

    /// Changes runs and makes them due.
    fn hasten_all(&self, epochs: impl IntoIterator<Item = Epoch>, change: impl Fn(&mut Export)) {
        let now = Instant::now();
        let mut queue = self.lock();
        for epoch in epochs {
            queue.hasten(epoch, |export| {
                change(export);
                now
            });
        }
        drop(queue);
        self.changed.notify_one();
    }

    /// Remembers a claim that the store may have, but no run of this process.
    pub(crate) fn lose_claim(&self, run: RunId) {
        let now = Instant::now();
        self.lock().lost_claims.insert(run, LostClaim { lost_at: now, due: now });
        self.changed.notify_one();
    }

    /// Returns the record of a run of this process whose export has not been given up.
    pub(crate) fn record(&self, run: &RunId) -> Option<Arc<Record>> {
        let queue = self.lock();
        let export = queue.exports.get(&run.epoch)?;
        (export.record.key == run.key).then(|| Arc::clone(&export.record))
    }

    /// Returns whether the store has the end of a run, or will never have it.
    pub(crate) fn has_ended(&self, epoch: Epoch) -> bool {
        self.lock().exports.get(&epoch).is_none_or(Export::has_confirmed_end)
    }

    /// Returns whether the store has the ends of all runs, or will never have them, and has no
    /// claim to release.
    pub(crate) fn have_ended(&self) -> bool {
        let queue = self.lock();
        queue.lost_claims.is_empty() && queue.exports.values().all(Export::is_done)
    }

    /// Returns whether a run is live in the store, according to a `Sync` sent after the last
    /// [`synchronize`](Self::synchronize) call.
    pub(crate) fn is_in_step(&self, epoch: Epoch) -> bool {
        self.lock().exports.get(&epoch).is_some_and(Export::is_in_step)
    }

    pub(crate) fn waiting(&self) -> usize {
        let now = Instant::now();
        self.lock().exports.values().filter(|export| export.is_overdue(now)).count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        let queue = self.lock();
        queue.exports.is_empty() && queue.lost_claims.is_empty()
    }

    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Makes all runs due, because the connection is new. Runs that are watched become due first.
    pub(crate) fn reconnect(&self) {
        let now = Instant::now();
        let earlier = now.checked_sub(RETRY_DELAY).unwrap_or(now);
        let Queue { exports, due, .. } = &mut *self.lock();
        for export in exports.values_mut() {
            export.set_due(due, if export.is_watched(now) { earlier } else { now });
        }
    }

    /// Returns when the next command is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let queue = self.lock();
        let claims = queue.lost_claims.values().map(|claim| claim.due);
        let run = queue.due.first().map(|(due, _)| *due);
        let reports = queue.reports.first().map(|_| Instant::now());
        claims.chain(run).chain(queue.ended.next_due()).chain(reports).min()
    }

    /// Takes the commands that are due.
    pub(crate) fn plan(&self, connection: u64, options: &Options) -> Plan {
        self.lock().plan(connection, options)
    }

    /// Applies the replies to a plan. Returns each run that the exporter must change, and how.
    pub(crate) fn apply(
        &self,
        targets: Vec<Target>,
        results: Vec<Result<Reply, Failure>>,
        connection: u64,
    ) -> Vec<(Arc<Record>, Effect)> {
        self.lock().apply(targets, results, connection)
    }
}

/// How long each command, except looks, delays the next pipeline.
const COMMAND_TIME: Duration = Duration::from_micros(250);
/// The maximum delay after one pipeline.
const MAX_TIME: Duration = Duration::from_millis(4);
/// The maximum idle time that is deducted from later delays, so that a few commands are not
/// delayed. This also makes up for timers, which fire up to a millisecond late.
const MAX_SAVED: Duration = Duration::from_millis(1);

/// Decides when pipelines begin. A few events go out at once, and thousands a second share
/// pipelines, each of which costs the store four system calls.
pub(super) struct Pace {
    next: Instant,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { next: Instant::now() }
    }

    /// Waits until a pipeline may begin.
    pub(super) async fn wait(&self) {
        // A timer in the past fires up to a millisecond late.
        if self.next > Instant::now() {
            sleep_until(self.next).await;
        }
    }

    /// Records a pipeline with this number of commands.
    pub(super) fn record(&mut self, began: Instant, commands: usize) {
        let commands = u32::try_from(commands).unwrap_or(u32::MAX);
        let time = COMMAND_TIME.saturating_mul(commands).min(MAX_TIME);
        let saved = began.checked_sub(MAX_SAVED).unwrap_or(began);
        self.next = self.next.max(saved) + time;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, advance};

    use super::Pace;

    /// Returns the mean time between pipelines if this number of commands becomes due in each
    /// millisecond. A pipeline has the commands that became due since the previous one.
    async fn interval(commands: u32) -> Duration {
        const PIPELINES: u32 = 100;
        let mut pace = Pace::new();
        let start = Instant::now();
        let mut before = start;
        for _ in 0..PIPELINES {
            // Commands become due at the ticks of the timer.
            advance(Duration::from_millis(1)).await;
            pace.wait().await;
            let passed = (Instant::now() - before).as_millis() as u32;
            before = Instant::now();
            pace.record(before, (commands * passed) as usize);
        }
        start.elapsed() / PIPELINES
    }

    #[tokio::test(start_paused = true)]
    async fn few_events_go_out_at_once_and_many_share_pipelines() {
        for (commands, milliseconds) in [(1, 1.0), (3, 1.0), (10, 4.0), (1_000, 4.0)] {
            let interval = interval(commands).await.as_secs_f64() * 1e3;
            assert!((interval - milliseconds).abs() < 0.1, "{commands}: {interval} ms");
        }
    }
}
