//! Which kind of service is inside a [`SseLayer`](crate::SseLayer). The compiler infers it from what
//! the service answers with; it has to be written only where the layer's type is, such as in a
//! field of a struct.

/// The service answers with an [`http::Response`] of a body. The default.
#[derive(Clone, Copy, Debug)]
pub enum Http {}

/// The service answers with a stream of events.
#[derive(Clone, Copy, Debug)]
pub enum Events {}

/// The service answers with an [`http::Response`] of a stream of events.
#[derive(Clone, Copy, Debug)]
pub enum EventResponse {}
