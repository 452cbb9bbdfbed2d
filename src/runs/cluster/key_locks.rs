use std::{collections::HashMap, sync::Arc};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::{
    history::sync::{Mutex, lock},
    runs::RunKey,
};

/// Locks of keys, so that simultaneous requests with one key claim it one after the other.
#[derive(Default)]
pub(crate) struct KeyLocks {
    locks: Mutex<HashMap<RunKey, Arc<AsyncMutex<()>>>>,
}

/// A locked key. Dropping it unlocks the key.
pub(crate) struct KeyLock<'l> {
    locks: &'l KeyLocks,
    key: RunKey,
    guard: Option<OwnedMutexGuard<()>>,
}

impl KeyLocks {
    pub(crate) async fn lock(&self, key: &RunKey) -> KeyLock<'_> {
        let mutex = Arc::clone(lock(&self.locks).entry(key.clone()).or_default());
        // Removes the lock if this future is dropped while it waits.
        let mut locked = KeyLock { locks: self, key: key.clone(), guard: None };
        locked.guard = Some(mutex.lock_owned().await);
        locked
    }
}

impl Drop for KeyLock<'_> {
    fn drop(&mut self) {
        self.guard = None;
        let mut map = lock(&self.locks.locks);
        // If only the map refers to the lock, no request waits for it.
        if map.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            map.remove(&self.key);
        }
    }
}
