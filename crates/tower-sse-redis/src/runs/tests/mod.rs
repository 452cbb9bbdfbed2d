#[cfg(unix)]
mod contract;
pub(crate) mod memory_store;
pub(crate) mod program;
mod store;

pub(crate) use self::store::Store;
