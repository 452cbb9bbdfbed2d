//! The facts about one connection: the kind of its client, the last event id that the client sent,
//! the reason for which its stream closed, and which errors are cancellations.

mod accept;
mod cancel;
mod client;
mod close;
mod disconnect;
mod last_event_id;
#[cfg(feature = "runs")]
mod recorded;

pub use self::{
    close::{CloseReason, CloseReport},
    disconnect::Disconnect,
    last_event_id::{LAST_EVENT_ID, LastEventId},
};

pub(crate) use self::{
    accept::accepts_event_stream, cancel::is_cancelled_task, client::Client,
    disconnect::DisconnectGuard,
};

#[cfg(feature = "runs")]
pub(crate) use self::recorded::{EndWithoutTerminator, OnRefusal};
