//! The bodies of event streams: `event_body.rs` encodes a stream of events, and `sse_body.rs` is
//! the layer's body around any source.
//!
//! `event_stream.rs` decides when a stream sends a heartbeat and when it ends. `boundary.rs` says
//! where lines fit between a source's bytes, `deadline.rs` when the stream must end,
//! `src/idle_timer.rs` when it has been idle, and `last_frames.rs` what it sends last. `hold.rs` keeps answers without
//! events open.
//! `stream_state.rs` holds a stream's state. `stream_record.rs` reports its close.

mod boundary;
mod deadline;
mod event_body;
mod event_stream;
mod hold;
mod last_frames;
mod sse_body;
mod stream_record;
mod stream_state;

pub(crate) use self::sse_body::forward_to_kinds;
pub use self::{event_body::EventBody, sse_body::SseBody};

pub(crate) use self::event_body::warn_without_layer;
pub(crate) use self::hold::{BRIEFLY, Hold};
pub(crate) use self::stream_record::{Observation, StreamRecord};
pub(crate) use self::stream_state::{Opening, StreamState};

use self::{boundary::Boundary, deadline::Deadline, last_frames::LastFrames};

/// The sizes of the parts of a stream. `benches/memory.sh` measures a whole stream's memory.
#[cfg(all(test, target_pointer_width = "64", feature = "tracing"))]
mod tests {
    use std::mem::size_of;

    use tokio::time::Sleep;

    use super::{Deadline, StreamState};
    use crate::shutdown::ShutdownWait;

    #[test]
    fn stream_holds_as_much_as_is_written_here() {
        assert_eq!(size_of::<StreamState>() - size_of::<Option<Sleep>>(), 296);
        assert_eq!([size_of::<ShutdownWait>(), size_of::<Deadline>()], [40, 56]);
    }
}
