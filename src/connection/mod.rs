//! What is known of one connection: the last event id that a client came with, and whether an error
//! only says that somebody left.

mod cancel;
mod last_event_id;

pub use self::{cancel::is_cancellation, last_event_id::LastEventId};
