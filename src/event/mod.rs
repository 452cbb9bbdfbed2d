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
mod field;
mod fields;
mod frame_buf;
mod id;
mod interpreter;
#[cfg(feature = "json")]
mod json;
mod line;
mod line_reader;
mod lines;
mod message;
mod name;

#[cfg(feature = "json")]
pub use self::json::Json;
pub use self::{
    decode::{Decoder, EventTooLarge},
    encode::Encode,
    encoded::Encoded,
    event::Event,
    field::InvalidField,
    id::{EventId, IntoEventId},
    message::Message,
    name::{EventName, IntoEventName},
};

#[cfg(feature = "hub")]
pub use self::fields::Fields;
pub(crate) use self::interpreter::Decoded;
pub(crate) use self::{
    encode::whole_milliseconds,
    field::{check_one_line, one_line_text},
    frame_buf::FrameBuf,
    line::BYTE_ORDER_MARK,
    line_reader::first_block_has_retry,
};
pub(crate) use self::{
    line::{Line, is_reconnection_time},
    line_reader::LineReader,
};
