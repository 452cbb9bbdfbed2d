/// Returns random bits of the operating system, or those of the simulation.
#[must_use]
pub fn random() -> u64 {
    #[cfg(tower_sse_simulation)]
    return fastrand::u64(..);
    #[cfg(not(tower_sse_simulation))]
    {
        use std::{
            hash::{BuildHasher, RandomState},
            time::{SystemTime, UNIX_EPOCH},
        };

        // Two copies of one virtual machine may have the same random keys, but not the same time.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        RandomState::new().hash_one(now)
    }
}
