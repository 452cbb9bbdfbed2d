//! Where the tasks of runs are spawned.

use tokio::sync::Notify;

/// Runs a task.
#[cfg(not(any(tower_sse_loom, tower_sse_simulation)))]
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

/// Runs a task on the machine that is simulated.
#[cfg(tower_sse_simulation)]
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    crate::simulation::spawn(task);
}

/// Runs a task on a thread of its own, because loom has no runtime.
#[cfg(tower_sse_loom)]
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    loom::thread::spawn(move || loom::future::block_on(task));
}

/// Waits until `get` returns a value. `get` is called at once, and again after each notification.
pub async fn until<T>(changed: &Notify, get: impl Fn() -> Option<T>) -> T {
    loop {
        // Created before the state is read, so that no change is missed.
        let notified = changed.notified();
        if let Some(value) = get() {
            return value;
        }
        notified.await;
    }
}
