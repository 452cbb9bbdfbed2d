//! Compressing event streams: how to turn on tower-http's `CompressionLayer` for them, and what it
//! costs.
//!
//! By default, `CompressionLayer` leaves event streams alone. Put it outside of [`SseLayer`], with
//! a predicate that admits them. It then compresses them with gzip, brotli or zstd:
//!
//! ```
//! use axum::Router;
//! use tower_http::compression::{
//!     CompressionLayer,
//!     predicate::{NotForContentType, Predicate, SizeAbove},
//! };
//! use tower_sse::SseLayer;
//!
//! fn compressed(routes: Router) -> Router {
//!     // The default predicate without its `NotForContentType::SSE`.
//!     let predicate =
//!         SizeAbove::default().and(NotForContentType::GRPC).and(NotForContentType::IMAGES);
//!     routes.layer(SseLayer::new()).layer(CompressionLayer::new().compress_when(predicate))
//! }
//! ```
//!
//! Each event still arrives at once: since async-compression 0.4.31, the encoders flush when the
//! stream is pending. `cargo tree --invert async-compression` prints your version.
//!
//! # Secrets
//!
//! Do not compress a stream that has both a secret and text that an attacker can choose. The
//! compressed length reveals whether the text guesses the secret correctly (BREACH).
//!
//! # Memory
//!
//! For each stream, in KiB, after events of 64 bytes:
//!
//! | encoder | after one | after 1,000 |
//! |---|---|---|
//! | gzip | 280 | 370 |
//! | brotli | 185 | 1,275 |
//! | zstd | 820 | 975 |
//!
//! Measured with `served idle gzip 1000` of the benchmarks, without the 11 KiB of the stream
//! itself.
//!
//! # What changes
//!
//! - **A body that fails** does so about a second later. The layer waits until its last buffer is
//!   released, and the compressor holds that buffer even after it has sent the compressed bytes.
//! - **A source that fails**: clients still receive the events that were ready before the error.
//!   Without [`SseLayer`], tower-http 0.7.1 drops them.
//! - **axum's `Sse` over `futures::stream::unfold`** works inside of [`SseLayer`]. Without it, the
//!   stream panics, because tower-http 0.7.1 polls a body again after its end.
//!
//! Heartbeats, the layer's own events and errors are the same as without compression.
//!
//! # Other compressors
//!
//! - **A compressor inside of [`SseLayer`]** turns off everything that the layer writes, such as
//!   heartbeats and the terminator. The layer writes nothing into a stream that has a content
//!   coding.
//! - **nginx** with `gzip on` and `gzip_types text/event-stream` also passes each event at once. It
//!   ignores `cache-control: no-transform`.
//! - **`cache-control: no-transform`** is for proxies. tower-http does not read it.

// Names for the links above.
#[allow(unused_imports)]
use crate::SseLayer;
