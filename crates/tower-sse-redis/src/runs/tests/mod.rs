#[cfg(unix)]
mod contract;
mod store;

pub(crate) use self::store::{Counts, Faults, Store};
