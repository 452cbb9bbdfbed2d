//! The service, future and bodies of an [`SseLayer`], and what a service inside it may return.
//!
//! You usually need these items only to name a type or to write a bound.

// The files of this module. An open stream continues in `body/sse_body.rs`.
//
// | `sse_layer.rs` | `SseService` records the `RequestInfo` and calls the inner service |
// | `into_sse.rs` | what a service may return, and `response`, which turns a stream into a response |
// | `sse_future.rs` | `InFlight` makes the response a stream, a refusal, a `204` or a `406`, or passes it through unchanged |
// | `refusal.rs` | the answer to a client whose stream may not open |
// | `config.rs`, `setters.rs` | the options, and the methods that set them |

mod config;
pub(crate) mod into_sse;
pub(crate) mod refusal;
mod setters;
mod sse_future;
pub(crate) mod sse_layer;

pub use self::into_sse::{AnyStream, IntoSse, marker};
pub use self::{sse_future::SseFuture, sse_layer::SseService};
pub use crate::body::{EventBody, SseBody};

pub(crate) use self::{into_sse::response, refusal::Refusal, sse_layer::SseLayer};

use self::config::{Config, NotOpened, RequestInfo};
use self::sse_future::{Completion, FutureState, InFlight};
