//! The layer, which sets the headers and wraps the bodies of event streams.

mod admission;
mod config;
mod future;
mod headers;
mod in_flight;
mod into_sse;
#[allow(clippy::module_inception)]
mod layer;
pub mod marker;
mod refusal;
mod service;
mod setters;

pub use self::{
    future::ResponseFuture,
    into_sse::{AnyStream, IntoSse, response},
    layer::SseLayer,
    refusal::Refusal,
    service::SseService,
};

use self::config::Config;

#[cfg(any(feature = "runs", feature = "testing"))]
pub(crate) use self::headers::is_event_stream;
#[cfg(feature = "runs")]
pub(crate) use self::{
    admission::disown,
    headers::{has_body, has_content_coding, make_event_stream},
};
