//! What is known of one connection: what kind of client it has, the last event id that the client
//! sent, why and when its stream closed, and which errors are cancellations.

mod accept;
mod cancel;
mod client;
mod close;
mod disconnect;
mod last_event_id;

pub use self::{
    close::{CloseReason, CloseReport},
    disconnect::Disconnect,
    last_event_id::{LAST_EVENT_ID, LastEventId},
};

pub(crate) use self::{
    accept::accepts_event_stream, cancel::is_cancelled_task, client::Client,
    disconnect::DisconnectGuard,
};
