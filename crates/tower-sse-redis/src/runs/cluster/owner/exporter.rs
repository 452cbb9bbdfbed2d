use std::sync::{Arc, Weak};

use tokio::time::{Instant, sleep, timeout_at};
use tower_sse::runs::{
    Outcome,
    support::{LastEvent, Process, caught},
};

use super::{export::Effect, exports::Exports, pace::Pace};
use crate::runs::{
    cluster::timing::RETRY_DELAY,
    seam::{command::Batch, store::Connection},
    store::Store,
};

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
