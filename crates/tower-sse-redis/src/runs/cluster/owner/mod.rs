//! This module keeps the store's copies of this process's runs up to date.
//!
//! | | |
//! |---|---|
//! | `export.rs` | exports one run, on a task of its own |
//! | `exports.rs` | the runs that are exported, and what other tasks ask of each |
//! | `keeper.rs` | looks for the keys of live runs, releases claims and deletes ended runs |
//! | `stored.rs` | the ended runs that the store has |

pub(crate) mod export;
pub(crate) mod exports;
pub(crate) mod keeper;
mod stored;
