//! Locks, atomics and `RandomState`, with replacements under loom, so that loom's models run the
//! production code.

#[cfg(not(tower_sse_loom))]
pub(crate) use {
    crate::lock::lock,
    std::hash::RandomState,
    std::sync::{
        Mutex, MutexGuard, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

#[cfg(tower_sse_loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard, RwLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Hashes without a random key. Loom replays executions, so the order of topics must be the same in
/// each.
#[cfg(tower_sse_loom)]
pub(crate) type RandomState = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

#[cfg(tower_sse_loom)]
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
