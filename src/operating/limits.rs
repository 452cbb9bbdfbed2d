//! Limits and memory: how to bound the number of streams, and what each one costs.
//!
//! [`SseLayer::max_streams`] limits how many streams are open at the same time. Further streams are
//! [refused](Refusal), each in the way that makes its client [reconnect
//! later](super::clients#how-clients-reconnect).
//!
//! A client that does not read holds back only its own source. The layer queues nothing for it.
//!
//! # Memory over HTTP/1
//!
//! One stream, with all that hyper holds for its connection, but without the handler, the source
//! and the kernel's socket buffers:
//!
//! | stream | KiB |
//! |---|---|
//! | idle, with the default layer | 10.9 |
//! | the same with shutdown, maximum age, limit, `Disconnect` and close report | 11.5 |
//! | idle, a plain body without the layer | 9.7 |
//! | idle, axum's `Sse` with `KeepAlive`, without the layer | 10.5 |
//! | source always ready, client never reads | 72 to 84 |
//! | source always ready, client stops reading after 20 MB | 55 to 82 |
//!
//! # Memory over HTTP/2
//!
//! One stream of 100 on a connection:
//!
//! | stream | KiB |
//! |---|---|
//! | idle, with the default layer | 2.5 |
//! | the same with shutdown, maximum age, limit, `Disconnect` and close report | 2.9 |
//! | idle, a plain body without the layer | 2.0 |
//! | source always ready, window of zero bytes | 8 |
//! | source always ready, full window of 64 KiB | 82 |
//! | source always ready, wide window, client does not read its connection | 452 |
//! | the same, with a `max_send_buf_size` of 64 KiB (hyper's default: 400 KiB) | 82 |
//!
//! # Memory with a hub
//!
//! One subscription over HTTP/1:
//!
//! | stream | KiB |
//! |---|---|
//! | idle, a shared topic | 11.1 |
//! | idle, a shared topic and a topic of its own | 11.6 |
//! | client never reads while 5 MB is published | 14 to 18 |
//! | client resumes from one of 64 positions, up to 1 MB behind, and never reads | 19 |
//! | the same, with a topic of its own too | 22 |
//!
//! Measured with `served idle`, `served stalled` and `served stalled-hub` of the benchmarks, and
//! hyper 1.12.
//!
//! # A hub in production
//!
//! - **Retention.** Set [`retain_for`](HubBuilder::retain_for) to more than the time for which
//!   clients are usually disconnected. The default of 5 minutes covers a deployment and a short
//!   loss of signal, but not a sleeping laptop. A client that missed evicted events receives a
//!   [gap](crate::hub::GapPolicy), at which its page should load its state again.
//! - **Restarts.** A new process has a new, empty hub. Clients that reconnect receive a gap and all
//!   kept events, which are few at first. Store events elsewhere if they must not be lost.
//! - **Several processes.** Each has a hub of its own, so a client that reconnects to another
//!   process receives a gap. With feature `redis`, they [share a hub](crate::redis), which also
//!   survives their restarts.
//! - **Many small events.** An event wakes all idle subscribers of its topic, on the threads of the
//!   runtime. Writing it to each subscriber's socket takes a few microseconds, mostly in the
//!   kernel. A [`flush_window`](crate::hub::Subscribe::flush_window) of about 20 ms writes
//!   several events at once.
//! - **Shutdown.** Let the [layer](SseLayer::shutdown) end the streams, because it knows how each
//!   client reconnects. Call [`Hub::close`](crate::hub::Hub::close) when the program has nothing
//!   left to publish.

// Names for the links above.
#[cfg(feature = "hub")]
#[allow(unused_imports)]
use crate::hub::HubBuilder;
#[allow(unused_imports)]
use crate::{Refusal, SseLayer};
