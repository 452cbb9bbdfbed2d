#[cfg(unix)]
mod contract;
pub(crate) mod memory_store;
mod store;

pub(crate) use self::store::{Open, Store};
