//! What is known about one connection: the kind of its client, the last event id that the client
//! sent, and the reason its stream closed.

mod accept;
mod client;
mod close;
mod disconnect;
mod header_scan;
mod label;
mod last_event_id;

pub use self::{
    close::{CloseReason, CloseReport},
    disconnect::Disconnect,
    label::Label,
    last_event_id::{LAST_EVENT_ID, LastEventId},
};

pub(crate) use self::{
    accept::accepts_event_stream, client::Client, disconnect::DisconnectGuard,
    header_scan::HeaderScan,
};
