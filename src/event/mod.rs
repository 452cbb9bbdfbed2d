//! Encoding and decoding of events in the wire format of event streams.
//!
//! Nothing here is asynchronous or depends on HTTP. The format is defined by the [HTML standard,
//! section "Server-sent events"][html].
//!
//! [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html

mod decode;
mod encode;
mod encoded;
#[allow(clippy::module_inception)]
mod event;
mod event_ref;
mod field;
mod field_spans;
mod fields;
mod frame_buf;
mod id;
#[cfg(feature = "json")]
mod json;
mod line;
mod lines;
mod message;
mod message_id;
mod name;
mod splitter;
mod too_large;

#[cfg(feature = "json")]
pub use self::json::Json;
pub use self::{
    decode::Decoder,
    encode::Encode,
    encoded::Encoded,
    event::Event,
    event_ref::EventRef,
    field::InvalidField,
    id::{EventId, IntoEventId},
    message::Message,
    message_id::MessageId,
    name::{EventName, IntoEventName},
    splitter::{EventSplitter, Piece},
    too_large::EventTooLarge,
};

pub use self::encode::whole_milliseconds;
#[cfg(feature = "hub")]
pub use self::fields::Fields;
#[cfg(any(feature = "runs", feature = "testing"))]
pub(crate) use self::line::Line;
pub(crate) use self::{
    field::{check_one_line, one_line_text},
    frame_buf::FrameBuf,
    line::{BYTE_ORDER_MARK, text, without_line_end},
    splitter::first_block_has_retry,
};
