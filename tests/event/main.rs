//! Events, their bytes, and the bodies that carry them.

#[path = "../body/boundary.rs"]
mod boundary;
mod decoder;
#[path = "../body/event_body.rs"]
mod event_body;
#[path = "../body/message_stream.rs"]
mod message_stream;
mod roundtrip;
mod splitter;
mod wire;

#[path = "../support/cuts.rs"]
mod cuts;
#[path = "../support/mod.rs"]
mod support;

use std::{
    borrow::Cow,
    convert::Infallible,
    error::Error,
    fmt::Debug,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes};
use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt, future, stream};
use http::HeaderMap;
use http_body::{Body, Frame};
use http_body_util::StreamBody;
use tokio::{
    sync::mpsc,
    task::{self, JoinError, JoinHandle},
    time,
};
use tokio_util::sync::CancellationToken;
use tower_sse::{
    BoxError, CloseReason, Decoder, Encode, Encoded, Event, EventBody, EventId, EventName,
    EventRef, EventSplitter, EventTooLarge, Heartbeat, Message, MessageStream, Piece, SseBody,
    SseLayer,
};

use cuts::{cut, special_bytes};
use support::naive;
