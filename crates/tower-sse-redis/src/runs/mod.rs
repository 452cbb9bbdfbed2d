//! [Runs](tower_sse::runs) that several processes share.
//!
//! - `cluster` finds, exports and mirrors runs.
//! - `store` keeps the runs in Redis, and documents their keys.
//! - `seam` defines what `cluster` and `store` exchange.

mod cluster;
mod seam;
mod store;
#[cfg(test)]
mod tests;

pub use self::store::RedisRuns;
