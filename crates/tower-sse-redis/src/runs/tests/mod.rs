mod contract;
pub(crate) mod memory_store;
