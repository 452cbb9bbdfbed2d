//! This module keeps the store's copies of this process's runs up to date.
//!
//! | | |
//! |---|---|
//! | `exports.rs` | the task that sends pipelines, and the runs that it exports |
//! | `queue.rs` | when each run's next commands are due |
//! | `export.rs` | one run: its commands, their replies, and what the owner knows about the store's copy |
//! | `plan.rs` | the commands of one pipeline |
//! | `stored.rs` | the batches and the ended runs that the store has |

pub(crate) mod export;
pub(crate) mod exports;
pub(crate) mod plan;
mod queue;
mod stored;
