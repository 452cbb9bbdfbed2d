//! Signals between modules, which pass through the program's own middleware and bodies.
//!
//! | signal | from | to | by |
//! |---|---|---|---|
//! | [`polled_by`]: whether a layer polls the caller, and records it | layers, runs | bodies, streams, the hub | the thread |
//! | [`Handled`]: this response is a stream of a layer, or a refusal | layers, refusals | outer layers, runs | an extension of the response |
//! | [`NothingMore`]: the stream has ended for good | the hub | layers | an extension of the response |
//! | [`OnRefusal`]: call this if the stream is refused | runs | layers | an extension of the response |
//! | [`Stopped`]: the source stopped for good | runs | bodies | a cause of an error |
//! | [`ItemError`]: this error is the program's | bodies | `on_error`, `cancellation_if` | a cause of an error |
//! | [`RecordedError`]: the error of the recorded source | runs | `on_error` | a cause of an error |

mod handled;
mod item_error;
mod nothing_more;
mod on_refusal;
mod polled_by;
mod recorded_error;
mod stopped;

pub(crate) use self::{
    handled::{Handled, Inherited, disown, is_refusal},
    item_error::{ItemError, program_error},
    nothing_more::NothingMore,
    on_refusal::OnRefusal,
    polled_by::{is_recorded, is_within_layer, is_within_recorder, within_layer, within_recorder},
    recorded_error::{RecordedError, source_error},
    stopped::Stopped,
};
