//! Fuzz targets. Each is a function of bytes that panics if the crate breaks a promise.
//!
//! `cargo fuzz run TARGET --features libfuzzer` searches for bytes on which a target panics.
//! `cargo test` replays the corpora.

mod boundary;
mod decoder;
mod entries;
mod filter;
mod headers;
mod last_event_id;
mod recorder;

#[allow(dead_code)]
#[path = "../../tests/support/answer.rs"]
mod answer;
// A second decoder, which shares no code with the crate's.
#[allow(dead_code)]
#[path = "../../tests/support/naive.rs"]
mod naive;
#[allow(dead_code)]
#[path = "../../tests/support/naive_filter.rs"]
mod naive_filter;
#[path = "../../tests/support/planned.rs"]
mod planned;

use std::{convert::Infallible, future::ready, time::Duration};

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_sse::layer::{IntoSse, SseBody};
use tower_sse::{SseLayer, decode::Decoder, event::Encoded};

use self::answer::event_stream;

pub use self::{boundary::boundary, decoder::decoder, entries::entries};
pub use self::{
    filter::filter, headers::headers, last_event_id::last_event_id, recorder::recorder,
};

/// A fuzz target: it panics if the crate breaks a promise.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("decoder", decoder),
    ("boundary", boundary),
    ("recorder", recorder),
    ("last_event_id", last_event_id),
    ("headers", headers),
    ("entries", entries),
    ("filter", filter),
];

/// Splits `bytes` at lengths that the first bytes give: a count, then that many lengths.
fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    let Some((count, rest)) = bytes.split_first() else { return Vec::new() };
    let count = usize::from(*count % 64).min(rest.len());
    let (lengths, mut rest) = rest.split_at(count);
    let mut pieces = Vec::new();
    for length in lengths {
        let (piece, after) = rest.split_at(usize::from(*length).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

/// Runs `future` under a paused clock.
fn in_runtime<F: Future>(future: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().expect("a runtime").block_on(future)
}
