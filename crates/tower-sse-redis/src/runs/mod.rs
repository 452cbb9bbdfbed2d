//! [Runs](tower_sse::runs) that several processes share.
//!
//! - `cluster` finds, exports and mirrors runs. Only its `RunStore` depends on the kind of store.
//! - `store` keeps the runs in Redis, and documents their keys.
//! - `seam` defines the commands and replies that `cluster` and `store` exchange.

mod cluster;
mod seam;
mod store;
#[cfg(test)]
mod tests;

pub use self::store::RedisRuns;
