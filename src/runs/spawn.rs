//! Where the tasks of runs are spawned.

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
