//! [Runs](tower_sse::runs) that several processes share.
//!
//! - `cluster` finds, exports and mirrors runs. It is the same for any store.
//! - `store` has the runs in Redis, and documents their keys.
//! - `seam` has what both use: the commands and their replies.

mod cluster;
mod seam;
mod store;
#[cfg(test)]
mod tests;

pub use self::store::RedisRuns;
