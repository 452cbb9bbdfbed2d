//! What is known of one connection: who is asking, the last event id that the client came with, why and
//! when its stream closed, and whether an error only says that somebody left.

mod accept;
mod cancel;
mod client;
mod close;
mod disconnect;
mod last_event_id;

pub use self::{
    cancel::is_cancellation,
    close::{CloseReason, Closed},
    disconnect::Disconnect,
    last_event_id::LastEventId,
};

pub(crate) use self::{accept::accepts_event_stream, client::Client, disconnect::DisconnectGuard};
