//! Events, their bytes, and the bodies that carry them.

mod boundary;
mod decoder;
mod event_body;
mod message_stream;
mod roundtrip;
mod splitter;
mod wire;

#[path = "../support/cuts.rs"]
mod cuts;
#[path = "../support/mod.rs"]
mod support;

use std::{convert::Infallible, time::Duration};

use bytes::{Buf, Bytes};
use cuts::{cut, special_bytes};
use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use http_body::Body;
use support::naive;
use tokio::sync::mpsc;
use tower_sse::{
    BoxError, Decoder, Encoded, Event, EventId, EventName, EventTooLarge, Message, SseLayer,
};
