//! The Tower layer for server-sent events.
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]
#![cfg_attr(test, allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used))]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code, unused_variables))))]

#[macro_use]
mod log;

#[cfg(feature = "axum")]
mod axum;
mod body;
mod connection;
mod event;
mod layer;

/// A boxed error: what a body fails with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub use crate::{
    body::{EventBody, Heartbeat, Retry, SseBody, StreamOptions},
    connection::{LastEventId, is_cancellation},
    event::{
        Decoder, Encode, Encoded, Event, EventId, EventName, EventTooLarge, FrameBuf, IntoEventId,
        IntoEventName, InvalidField, Message,
    },
    layer::{IntoSse, ResponseFuture, SseLayer, SseService, marker, response},
};

#[cfg(feature = "json")]
pub use crate::event::Json;
