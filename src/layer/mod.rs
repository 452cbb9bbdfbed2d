//! The layer: headers and bodies of every event stream that comes through it.

mod accept;
mod config;
mod future;
mod headers;
mod into_sse;
#[allow(clippy::module_inception)]
mod layer;
pub mod marker;
mod service;

pub use self::{
    future::ResponseFuture,
    into_sse::{IntoSse, response},
    layer::SseLayer,
    service::SseService,
};

use self::config::Config;
