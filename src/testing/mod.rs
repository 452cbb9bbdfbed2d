//! Aids for tests of programs that use this crate (feature `testing`).
//!
//! [`MemoryBroker`] connects several hubs in one process, as Redis connects hubs of several
//! processes, and loses events or acknowledgements on demand.

mod memory_broker;

pub use self::memory_broker::MemoryBroker;
