//! All runs of a process. [`Process`] locks the [`Registry`](registry::Registry) and does deferred
//! work after it has released all locks. [`Producer`] is the right to record a run.

mod process;
mod registry;

pub(crate) use self::process::PANICKED;
pub use self::process::{Claim, Hooks, Process, Producer, Purpose};
