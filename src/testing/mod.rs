//! Utilities for testing programs that use this crate (feature `testing`).
//!
//! [`MemoryBroker`] connects several hubs in one process, as Redis connects hubs of several
//! processes, and delays or loses events on demand.

mod connection;
mod memory_broker;

pub use self::memory_broker::MemoryBroker;
