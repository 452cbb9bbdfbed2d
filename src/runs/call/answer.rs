use std::{any::Any, mem::ManuallyDrop};

use http::{Response, StatusCode, response::Parts};

use crate::{
    connection::DisconnectGuard,
    headers::{has_content_coding, is_event_stream},
    signals::is_refusal,
};

/// The result of a call, for the client that made it.
pub(crate) enum Answer<B, E> {
    /// An event stream, which is being recorded.
    Stream(Parts),
    /// Anything else, with the guard of the call's `Disconnect` if it has one.
    Other(Result<Response<B>, E>, Option<DisconnectGuard>),
    /// The payload of a panic. It is leaked if no client receives it, because dropping it could
    /// panic again.
    Panic(ManuallyDrop<Box<dyn Any + Send>>),
}

/// Returns whether the events of a response can be recorded. With a content coding, they would have
/// to be decoded. A record of a refusal would pass for a complete answer.
pub(super) fn is_recordable<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::OK
        && is_event_stream(response.status(), response.headers())
        && !has_content_coding(response.headers())
        && !is_refusal(response.extensions())
}
