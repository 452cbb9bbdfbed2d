//! Events, their bytes, and the bodies that carry them.

#[cfg(feature = "axum-sse")]
mod axum_events;
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

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{borrow::Cow, convert::Infallible, error::Error, fmt::Debug, io, pin::Pin, sync::Arc};

use bytes::{Buf, Bytes};
use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt, future, stream};
use http::HeaderMap;
use http_body::{Body, Frame};
use http_body_util::StreamBody;
use tokio::task::{self, JoinError, JoinHandle};
use tokio::{sync::mpsc, time};
use tokio_util::sync::CancellationToken;
use tower_sse::decode::{Decoder, EventRef, EventSplitter, EventTooLarge, Message, MessageId};
use tower_sse::decode::{MessageStream, Piece};
use tower_sse::event::{Encode, Encoded};
use tower_sse::layer::{EventBody, SseBody};
use tower_sse::{BoxError, CloseReason, Event, EventId, EventName, Heartbeat, SseLayer};

use cuts::{cut, cuttings, special_bytes};
use support::naive;
