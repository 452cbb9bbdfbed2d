use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tower_sse::runs::Outcome;
use tower_sse::runs::support::{LastEvent, Process, caught};

use super::{export::Effect, exports::Exports};
use crate::runs::seam::{Batch, Connection};
use crate::{runs::cluster::timing::RETRY_DELAY, runs::store::Store};

/// Exports the runs of this process until its [`Runs`](tower_sse::runs::Runs) is dropped. Starts again
/// after a panic, because otherwise all leases would expire, but not at once: a panic that repeats
/// would take a processor.
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
            Some(due) => _ = timeout_at(due, exports.changed()).await,
            None => exports.changed().await,
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
    let plan = exports.plan(connection, &process.options);
    if plan.len() == 0 {
        return false;
    }
    pace.record(Instant::now(), plan.work());
    let (targets, commands) = plan.into_commands();
    let results = store.execute(Some(connection), commands).await;
    for (record, effect) in exports.apply(targets, results, connection) {
        match effect {
            Effect::Ended => {}
            Effect::Over(Outcome::Cancelled, event) => {
                let stored =
                    |Batch { first, last, bytes }| LastEvent::Stored { first, last, bytes };
                process.cancel_record(&record, event.map(stored).as_ref());
            }
            // Only the owner completes a run. Any outcome besides `Cancelled` therefore means that
            // another process has interrupted the run.
            Effect::Over(..) => process.fence(&record),
            Effect::Lost(reason) => process.lose(&record, reason),
        }
        process.acknowledge_end(&record);
    }
    exports.replied.notify_waiters();
    true
}

/// How long each command, except renewals, delays the next pipeline.
const COMMAND_TIME: Duration = Duration::from_micros(250);
/// The maximum delay after one pipeline.
const MAX_TIME: Duration = Duration::from_millis(4);
/// The maximum idle time that is deducted from later delays, so that a few commands cause no delay.
/// The deduction also makes up for timers, which fire up to a millisecond late.
const MAX_SAVED: Duration = Duration::from_millis(1);

/// Decides when pipelines begin: a few events go out at once, and thousands a second share pipelines.
/// Each pipeline costs the store four system calls.
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

    /// Returns the mean time between pipelines while `commands` commands become due in each
    /// millisecond. Each pipeline has the commands that have become due since the previous one.
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
