//! Turns received bytes into [messages](Message), or into [events](EventRef) that borrow the bytes.
//!
//! - [`MessageStream`] decodes the body of another server's response.
//! - [`Decoder`] decodes bytes as a client does and returns messages.
//!
//! [Upstreams](crate::guide::upstreams) shows when to use a message stream, and when to use a
//! [filter](crate::filter).

mod decoder;
mod event_ref;
mod message;
mod message_stream;
mod splitter;

pub use self::message::{Message, MessageId};
pub use self::splitter::EventTooLarge;
// `sse-check` uses these two types. They are exempt from semantic versioning.
#[doc(hidden)]
pub use self::splitter::{EventSplitter, Piece};
pub use self::{decoder::Decoder, event_ref::EventRef, message_stream::MessageStream};

#[cfg(any(feature = "runs", feature = "testing"))]
pub(crate) use self::event_ref::Line;
pub(crate) use self::event_ref::{text, without_line_end};
pub(crate) use self::splitter::{BYTE_ORDER_MARK, first_block_retry, first_line};
