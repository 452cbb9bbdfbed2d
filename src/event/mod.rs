//! Encoding and decoding of events in the wire format of event streams.
//!
//! Nothing here is asynchronous or depends on HTTP. The format is defined by the [HTML standard,
//! section "Server-sent events"][html].
//!
//! | | |
//! |---|---|
//! | `event.rs`, `json.rs` | an event to send, and its fields |
//! | `one_line.rs` | what an id and a name cannot contain |
//! | `encode.rs` | its bytes |
//! | `frame_buf.rs` | the buffer into which events are written, and the lines of their fields |
//! | `splitter.rs`, `event_ref.rs` | the events in received bytes, without a copy |
//! | `decode.rs`, `message.rs` | received bytes as messages, as a client dispatches them |
//!
//! [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html

mod decode;
mod encode;
#[allow(clippy::module_inception)]
mod event;
mod event_ref;
mod frame_buf;
#[cfg(feature = "json")]
mod json;
mod message;
mod one_line;
mod splitter;

pub use self::encode::{Encode, Encoded};
pub use self::event::{Event, EventId, EventName, EventTooLarge, IntoEventId, IntoEventName};
#[cfg(feature = "json")]
pub use self::json::Json;
pub use self::message::{Message, MessageId};
pub use self::splitter::{EventSplitter, Piece};
pub use self::{decode::Decoder, event_ref::EventRef, one_line::InvalidField};

#[cfg(feature = "hub")]
pub use self::event::Fields;
pub use self::event::whole_milliseconds;
#[cfg(any(feature = "runs", feature = "testing"))]
pub(crate) use self::event_ref::Line;
pub(crate) use self::event_ref::{text, without_line_end};
pub(crate) use self::frame_buf::FrameBuf;
pub(crate) use self::one_line::{check_one_line, one_line_text};
pub(crate) use self::splitter::{BYTE_ORDER_MARK, first_block_has_retry};
