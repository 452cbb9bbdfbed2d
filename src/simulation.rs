//! What a simulation replaces, so that the same seed gives the same result: how tasks are spawned,
//! the clock, and the order of maps.

use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{
    cell::RefCell, collections::hash_map::DefaultHasher, hash::BuildHasherDefault, pin::Pin,
};

use tokio::task::JoinHandle;

/// A map whose order is the same in every simulation with the same seed.
pub type HashMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The simulation's part for one thread: it wraps the tasks and keeps the clock of the simulated
/// machine that the thread currently runs.
pub trait Host {
    /// Wraps a new task, so that the task stops and ends together with its simulated process.
    fn adopt(&self, task: Task) -> Task;

    /// Returns the time since 1970 by the clock of the machine that the thread currently runs.
    fn now(&self) -> Duration;
}

thread_local! {
    static HOST: RefCell<Option<Rc<dyn Host>>> = const { RefCell::new(None) };
}

/// Makes `host` wrap the tasks that this thread spawns, and makes the clock of `host` this thread's
/// clock.
pub fn set_host(host: impl Host + 'static) {
    HOST.set(Some(Rc::new(host)));
}

fn host() -> Option<Rc<dyn Host>> {
    HOST.with_borrow(Clone::clone)
}

/// Makes a task part of the simulated process that currently runs on this thread, if any.
pub fn adopt(task: impl Future<Output = ()> + Send + 'static) -> Task {
    let task: Task = Box::pin(task);
    match host() {
        Some(host) => host.adopt(task),
        None => task,
    }
}

pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(adopt(task))
}

pub(crate) fn now() -> SystemTime {
    host().map_or_else(SystemTime::now, |host| UNIX_EPOCH + host.now())
}
