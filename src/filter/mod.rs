//! Filters inspect, change or drop the events of a stream on its way to the client, or end the
//! stream at an event (feature `filter`).
//!
//! Say you run a gateway to a language model. You want to count tokens, redact a secret, or stop an
//! answer, and pass everything else through as it is. An [`EventFilter`] gets each event of one
//! stream (the *source*) and returns a [`Verdict`]. An event that passes stays identical byte for
//! byte and is sent as soon as its last byte has arrived. The guide helps you
//! [choose](crate::guide::upstreams#bytes-filter-messages-or-run) between a filter, a
//! [`MessageStream`](crate::decode::MessageStream) and a [run](crate::runs).
//!
//! - [`FilterLayer`] filters the event streams of a Tower service.
//! - [`FilterBody`] filters a body, without the layer.
//! - [`from_fn`] makes a filter from a closure.
//!
//! ```
//! use axum::{Router, body::Body, routing::post};
//! use http::Request;
//! use tower_sse::{SseLayer, filter::{self, FilterLayer, Verdict}};
//! # async fn proxy() {}
//!
//! let without_pings = FilterLayer::new(|_: &Request<Body>| {
//!     Some(filter::from_fn(|event| match &*event.name() {
//!         "ping" => Verdict::Drop,
//!         _ => Verdict::Pass,
//!     }))
//! });
//! let app: Router =
//!     Router::new().route("/chat", post(proxy)).layer(without_pings).layer(SseLayer::new());
//! ```
//!
//! # Uses
//!
//! Bill each filtered stream once, no matter how it ends. An answer that isn't an event stream, such
//! as JSON or a `502`, has no [report](EventFilter::end), and nor has an error of the service:
//!
//! ```
//! # use tower_sse::decode::EventRef;
//! # use tower_sse::filter::{EventFilter, FilterEnd, Verdict};
//! # fn bill(customer: u64, events: u64) {}
//! struct Billed { customer: u64 }
//!
//! impl EventFilter for Billed {
//!     fn event(&mut self, _: EventRef<'_>) -> Verdict {
//!         Verdict::Pass
//!     }
//!     fn end(&mut self, end: &FilterEnd) {
//!         bill(self.customer, end.events);
//!     }
//! }
//! # _ = tower_sse::filter::FilterBody::new(String::new(), Billed { customer: 7 });
//! ```
//!
//! Redact the data, and keep the id, the name and unknown fields:
//!
//! ```
//! # use tower_sse::filter::{self, Verdict};
//! let redact = filter::from_fn(|event| match event.data().contains("secret") {
//!     // Half an event, at the end of a stream: `with_data` would make it look whole.
//!     true if !event.is_terminated() => Verdict::Drop,
//!     true => Verdict::Replace(event.with_data(event.data().replace("secret", "***")).into()),
//!     false => Verdict::Pass,
//! });
//! ```
//!
//! A language model often splits a secret across several events. To redact it, use a [message
//! stream](crate::guide::upstreams#a-secret-that-is-split-over-tokens).
//!
//! Insert an event before `[DONE]`:
//!
//! ```
//! # use tower_sse::{Event, filter::{self, Verdict}};
//! let mut tokens = 0;
//! let with_usage = filter::from_fn(move |event| match &*event.data() {
//!     "[DONE]" => Verdict::Insert(Event::new().event("usage").data(format!("{tokens} tokens")).into()),
//!     _ => {
//!         tokens += 1;
//!         Verdict::Pass
//!     }
//! });
//! ```
//!
//! Drop what only keeps the stream open. Clients of language models read the data of every event as
//! JSON. So most of them fail at the event `data: : keepalive` that Vertex AI sends, and OpenAI's
//! clients also at an event without data:
//!
//! ```
//! # use tower_sse::filter::{self, Verdict};
//! let without_keep_alives =
//!     filter::from_fn(|event| match event.data().starts_with(':') || !event.has_data() {
//!         true => Verdict::Drop,
//!         false => Verdict::Pass,
//!     });
//! ```
//!
//! [`Verdict::End`] ends the stream, for example when a budget is used up. [`EventFilter`] shows
//! how to fail a stream whose answer was cut short.
//!
//! An upstream may send `200` and then an error as its first event. With
//! [`FilterLayer::hold_head`], you can still answer with an error status. To fail over to another
//! upstream, [reject](Verdict::Reject) the response with a status such as `502` and repeat the
//! request in an outer layer such as `tower::retry`. The example
//! [`gateway`](https://docs.rs/crate/tower-sse/latest/source/examples/gateway.rs) tries the
//! upstreams in a loop instead.
//!
//! # Events
//!
//! An event begins with the first field line that is not a `retry` line, and ends with the next
//! empty line. The filter also sees events without data. Comments and `retry` lines between events
//! pass, and the filter doesn't see them.
//!
//! An upstream may send an empty line after a comment, as axum's `KeepAlive` and OpenRouter do. The
//! filter drops this line, so the comment joins the next event. OpenAI's client for Python (3.52)
//! would take the comment for an event and fail.
//!
//! If the source ends mid-event, the filter gets the incomplete event, which isn't
//! [terminated](crate::decode::EventRef::is_terminated). If the source fails mid-event, neither the
//! filter nor the client gets the incomplete event.
//!
//! The filter sees the same events however the stream is split into frames.
//!
//! # Where a filter belongs
//!
//! - Put [`SseLayer`](crate::SseLayer) [outside of filters](crate::guide::placement#the-order). It
//!   can then send heartbeats even while the upstream stalls mid-event. If `SseLayer` ends the
//!   stream, the filter's outcome is [`Disconnected`](FilterOutcome::Disconnected), and the [close
//!   report](crate::CloseReport) has the reason.
//! - Put compression layers outside of both the filters and `SseLayer`. Don't forward
//!   `accept-encoding` to an upstream: a compressed stream is
//!   [refused](FilterLayer#what-is-refused).
//! - Inside a [`RunLayer`](crate::runs::RunLayer), a filter sees each answer once. Outside of it,
//!   each client's stream has its own filter.
//! - In a handler, map the response's body to a [`FilterBody`].
//! - Don't drop the first event of a [hub](crate::hub#order-and-resumption)'s stream: it can have
//!   the client's first id. A [view](crate::hub::Subscription::view) can hide any event.
//! - A filter can't await. If a decision has to wait, use a `MessageStream`.

// A response passes through these files from top to bottom:
//
// | `filter_layer.rs` | the layer, its options, and its service |
// | `future.rs` | decides which responses are filtered or refused, and may hold their head |
// | `body.rs` | the response's body |
// | `pipe.rs` | polls the source, splits frames into events, applies verdicts, and ends the stream |
// | `event_filter.rs` | what a program implements: the filter, its verdicts and its report |

mod body;
mod event_filter;
mod filter_layer;
mod future;
mod pipe;

pub use self::event_filter::{EventFilter, FilterEnd, FilterOutcome, SourceEnd, Verdict, from_fn};
pub use self::filter_layer::{FilterLayer, FilterService};
pub use self::{body::FilterBody, future::FilterFuture};
