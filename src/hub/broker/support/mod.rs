//! For brokers whose server can lose or roll back acknowledged events: the proof that each
//! acknowledged event reaches the hub. Exempt from semantic versioning.
//!
//! | | |
//! |---|---|
//! | `identity.rs` | the number of an entry and a fingerprint of its content |
//! | `gate.rs` | stops publishers until the reader has caught up |
//! | `ledger.rs` | compares what was acknowledged with what the reader meets |
//! | `recent.rs` | the entries that were read while events are in flight |
//! | `page_size.rs` | how many entries a reader takes at a time |
//! | `backoff.rs` | the delays before attempts to reconnect |
//!
//! And small functions that the crates of brokers need too.

mod backoff;
mod gate;
mod identity;
mod ledger;
mod page_size;
mod recent;
#[cfg(test)]
mod tests;

pub use self::{
    backoff::Backoff,
    gate::{Gate, InFlight, Session},
    identity::Identity,
    ledger::{Ledger, Sent, Unproven},
    page_size::PageSize,
};
pub use crate::{callback::caught, event::whole_milliseconds, lock::lock};
