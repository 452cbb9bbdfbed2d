//! The conformance kit of brokers, over brokers that are right and brokers that are wrong on purpose,
//! and what a broker may rely on.

mod dropped;
mod local;
mod log;
mod memory;
mod readers;
mod tcp;
mod wrong;
