//! What is known about one connection: its client's kind, what the client accepts, the last event
//! id that it sent, whether the response is over, and the reason its stream closed.

mod client;
mod close;
mod disconnect;
mod last_event_id;

pub use self::client::ClientKind;
pub use self::close::{CloseReason, CloseReport};
pub use self::disconnect::Disconnect;
pub use self::last_event_id::LastEventId;
pub(crate) use self::last_event_id::query_value;

pub(crate) use self::client::{HeaderScan, accepts_event_stream, names_event_stream};
pub(crate) use self::disconnect::DisconnectGuard;
