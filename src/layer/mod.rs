//! The layer, which sets the headers and wraps the bodies of event streams: [`SseLayer`].
//!
//! A request passes through these files from top to bottom, and its stream continues in
//! `body/sse_body.rs`:
//!
//! | | |
//! |---|---|
//! | `sse_layer.rs` | [`SseService`] records the [`RequestInfo`], and calls the inner service |
//! | `into_sse.rs` | what a service may return, and [`response`], which makes a response of a stream |
//! | `response_future.rs` | [`InFlight`] decides what becomes of the response: a stream, a refusal, `204`, or unchanged |
//! | `refusal.rs` | the answer to a client whose stream may not open |
//! | `config.rs`, `setters.rs` | the options, and the methods that set them |

mod config;
mod into_sse;
mod refusal;
mod response_future;
mod setters;
mod sse_layer;

pub use self::into_sse::{AnyStream, IntoSse, marker, response};
pub use self::sse_layer::{SseLayer, SseService};
pub use self::{refusal::Refusal, response_future::ResponseFuture};

use self::config::{Config, RequestInfo};
use self::response_future::{Completion, FutureState, InFlight};
