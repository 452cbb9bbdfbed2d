#[cfg(unix)]
mod contract;
pub(crate) mod program;
mod store;

pub(crate) use self::store::{Counts, Faults, Store};
