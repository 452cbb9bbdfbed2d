use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Mutex,
};

use tokio_util::sync::CancellationToken;
use tower_sse::runs::{RunKey, support::lock};

/// The keys that requests of this process claim at present, so that simultaneous requests with one
/// key claim it one after the other.
#[derive(Default)]
pub(crate) struct KeyLocks {
    /// The locked keys. Each token is cancelled when its key is unlocked.
    locks: Mutex<HashMap<RunKey, CancellationToken>>,
}

/// A locked key. Dropping it unlocks the key.
pub(crate) struct KeyLock<'l> {
    locks: &'l KeyLocks,
    key: RunKey,
}

impl KeyLocks {
    /// Locks a key. If another request has locked it, returns a token that is cancelled when the
    /// key is unlocked.
    pub(crate) fn try_lock(&self, key: &RunKey) -> Result<KeyLock<'_>, CancellationToken> {
        match lock(&self.locks).entry(key.clone()) {
            Entry::Occupied(locked) => Err(locked.get().clone()),
            Entry::Vacant(unlocked) => {
                unlocked.insert(CancellationToken::new());
                Ok(KeyLock { locks: self, key: key.clone() })
            }
        }
    }
}

impl Drop for KeyLock<'_> {
    fn drop(&mut self) {
        // Wakes tasks, so the locks must not be held.
        let unlocked = lock(&self.locks.locks).remove(&self.key);
        unlocked.into_iter().for_each(|unlocked| unlocked.cancel());
    }
}
