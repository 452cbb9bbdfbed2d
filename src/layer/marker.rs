//! The kinds of services inside an [`SseLayer`](crate::SseLayer).
//!
//! The compiler infers the kind from what the service returns. You write it only as a part of the
//! layer's type, for example in a struct field.

/// A service that returns an [`http::Response`] of a body. The default.
#[derive(Clone, Copy, Debug)]
pub enum Http {}

/// A service that returns a stream of events.
#[derive(Clone, Copy, Debug)]
pub enum Events {}

/// A service that returns an [`http::Response`] of a stream of events.
#[derive(Clone, Copy, Debug)]
pub enum EventResponse {}
