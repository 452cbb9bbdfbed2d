use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Weak},
    task::Poll,
};

use tokio::time::{Instant, sleep, timeout_at};

use super::{export::Effect, exports::Exports, pace::Pace};
use crate::runs::{
    Outcome,
    cluster::{
        seam::{
            command::Batch,
            store::{Connection, Store},
        },
        timing::RETRY_DELAY,
    },
    process::Shared,
    record::LastEvent,
};

/// Exports the runs of this process until its [`Runs`](crate::runs::Runs) is dropped. Starts again
/// after a panic, because otherwise all leases would expire, but not at once: a panic that repeats
/// would take a processor.
pub(crate) async fn supervise(shared: Weak<Shared>, exports: Arc<Exports>, store: Arc<dyn Store>) {
    while !catch(run(&shared, &exports, &*store)).await {
        sleep(RETRY_DELAY).await;
    }
}

/// Runs a future. Returns `false` if it panics.
pub(crate) async fn catch(future: impl Future<Output = ()>) -> bool {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(|()| true),
        Err(panic) => {
            // Dropping the payload could panic again.
            std::mem::forget(panic);
            Poll::Ready(false)
        }
    })
    .await
}

async fn run(shared: &Weak<Shared>, exports: &Exports, store: &dyn Store) {
    let connection = store.connection();
    let mut latest = 0;
    let mut pace = Pace::new();
    loop {
        // Kept while runs are to be exported.
        let Some(shared) = shared.upgrade() else { return };
        let up = match *connection.borrow() {
            Connection::Up(number) => Some(number),
            Connection::Down => None,
        };
        if let Some(number) = up.filter(|number| *number != latest) {
            latest = number;
            exports.reconnect();
        }
        if up.is_some() && exports.next_due().is_some_and(|due| due <= Instant::now()) {
            // What becomes due meanwhile joins the pipeline.
            pace.wait().await;
        }
        if up.is_some() && export(&shared, exports, store, latest, &mut pace).await {
            continue;
        }
        let due = exports.next_due().filter(|_| up.is_some());
        let shared = Some(shared).filter(|_| !exports.is_empty());
        match due {
            Some(due) => _ = timeout_at(due, exports.changed()).await,
            None => exports.changed().await,
        }
        drop(shared);
    }
}

/// Sends what is due. Returns `false` if nothing is.
async fn export(
    shared: &Arc<Shared>,
    exports: &Exports,
    store: &dyn Store,
    connection: u64,
    pace: &mut Pace,
) -> bool {
    let plan = exports.plan(connection, &shared.options);
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
                shared.cancel_own(&record, event.map(stored).as_ref());
            }
            // Only the owner completes a run, so any other outcome is that of an interruption.
            Effect::Over(..) => shared.fence(&record),
            Effect::Lost(error) => {
                shared.end(&record, Outcome::Interrupted, Some(error.into()));
            }
        }
        shared.acknowledge_end(&record);
    }
    exports.replied.notify_waiters();
    true
}
