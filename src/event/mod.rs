//! The encoding of events into their wire format.
//!
//! Your program sends [`Event`]s. You need this module only if you write a trait bound, name an
//! error type, or encode an event yourself. [`decode`](crate::decode) reads event streams. The
//! [HTML standard, section "Server-sent events"][html] defines the format.
//!
//! [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html

// Nothing here is asynchronous or depends on HTTP.
//
// | `event.rs`, `json.rs` | an event to send, and its fields |
// | `one_line.rs` | what an id and a name cannot contain, and JSON escapes |
// | `encode.rs` | an event's bytes |
// | `frame_buf.rs` | the buffer into which events are written, and the lines of their fields |

mod encode;
pub(crate) mod event;
mod frame_buf;
#[cfg(feature = "json")]
pub(crate) mod json;
pub(crate) mod one_line;

pub(crate) use self::encode::decimal_len;
pub use self::encode::{Encode, Encoded};
pub use self::event::{IntoEventId, IntoEventName};
pub use self::one_line::InvalidField;

pub(crate) use self::event::{Event, EventId, EventName, whole_milliseconds};
pub(crate) use self::frame_buf::{DATA, FrameBuf};
pub(crate) use self::one_line::{check_one_line, is_one_line, one_line_text};
