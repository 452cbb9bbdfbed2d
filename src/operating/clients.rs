//! Clients of event streams: how each kind reconnects, what happens when one disconnects, and how
//! to stop one for good.
//!
//! # How clients reconnect
//!
//! The rules by which clients reconnect contradict each other. The layer therefore classifies each
//! client by its request:
//!
//! - **`EventSource`**: a `GET` whose `Accept` names `text/event-stream` and whose `Cache-Control`
//!   has `no-cache`. It reconnects after a clean end and after a failure. Any status but 200 stops
//!   it for good.
//! - **`fetch` in a browser**: a `GET` with the same `Accept`, without `no-cache` but with
//!   `Sec-Fetch-Mode`. It reconnects after a failure or a bad status, but a clean end stops it.
//! - **Another `GET`**: a script, for example. Whether it reconnects is unknown.
//! - **A call**: any other method. It never reconnects, because the stream is its answer.
//!
//! The [shutdown](crate::Drain) and the [maximum age](crate::MaxAge) end a stream before its source
//! ends. How they do so depends on the client, and so does the answer to a client that is
//! [refused](crate::Refusal):
//!
//! | client | the end | the refusal |
//! |---|---|---|
//! | EventSource | cleanly | `200` and a `retry` line |
//! | fetch | by failing | `503` |
//! | another GET | cleanly | `503` |
//! | a call | by failing, after 30 s | `503` |
//!
//! # Exceptions
//!
//! - **Over plain http**, browsers send `Sec-Fetch-Mode` only to localhost. A `fetch` to any other
//!   host counts as another `GET`.
//! - **A `fetch` with `cache: 'no-store'`** sends what an `EventSource` sends, and is treated as
//!   one. So is every `fetch` while "disable cache" is on in the developer tools of Chromium or
//!   Firefox.
//! - **A layer with none of these options** does not classify clients:
//!   [`shutdown`](SseLayer::shutdown), [`max_streams`](SseLayer::max_streams),
//!   [`max_age`](SseLayer::max_age), [`without_max_age`](SseLayer::without_max_age). It ends every
//!   `GET` by failing: every client that reconnects at all does so after a failure.
//! - **Clients on libsoup**, such as WebKitGTK but not Safari, do not notice a body that fails.
//!   Over HTTP/1 they take a chunked body without its last chunk for a clean end. Over HTTP/2 they
//!   do not notice RST_STREAM or GOAWAY. If they must know that an answer is complete, send a
//!   [`terminator`](SseLayer::terminator).
//! - **`@microsoft/fetch-event-source`** waits for the time in the last `retry` line, and ignores
//!   `Retry-After`.
//!
//! # Clients that disconnect
//!
//! When a client disconnects, hyper drops the response and the source with it. The [`CloseReport`]
//! has the reason [`Disconnected`](CloseReason::Disconnected). Nothing fails, and nothing is logged
//! above DEBUG.
//!
//! - **Late notice over HTTP/1.** hyper does not notice a FIN in these cases: the request body is
//!   unread, bytes of a next request are buffered (a stray CRLF is enough), or `half_close` is on.
//!   A failed write then reveals the disconnect, at the second heartbeat after it. Let handlers of
//!   `POST` read the request body.
//! - **Spawned tasks go on.** To stop them, use [`Disconnect`]. To let the work finish for a client
//!   that returns, keep it on its task and record its events: [runs](crate::runs) do both.
//!
//! # Credentials that expire
//!
//! A stream outlives the check of its request. End it at the expiry of the token that opened it,
//! without a grace period. The client then reconnects with a fresh token or is rejected:
//!
//! ```
//! use std::time::Duration;
//!
//! use http::Response;
//! use tower_sse::{MaxAge, StreamOptions};
//!
//! fn until_expiry<B>(mut response: Response<B>, expires_in: Duration) -> Response<B> {
//!     let max_age = MaxAge::new(expires_in).grace(Duration::ZERO);
//!     response.extensions_mut().insert(StreamOptions::new().max_age(max_age));
//!     response
//! }
//! # until_expiry(Response::new(()), Duration::ZERO);
//! ```
//!
//! The stream of an `EventSource` then ends cleanly only in a layer that [classifies its
//! clients](#exceptions). If the layer has no other reason to, call
//! [`without_max_age`](SseLayer::without_max_age).
//!
//! # Streams that are over for good
//!
//! An `EventSource` reconnects after every end, even when the job is done. To stop it, answer its
//! next request with `204 No Content` ([HTML][html]). The layer passes such a response through. Or
//! send a last event, such as a [`terminator`](SseLayer::terminator), at which the page closes it.
//!
//! ```
//! use axum::{http::StatusCode, response::{IntoResponse, Response}};
//! use futures_util::stream;
//! use tower_sse::{Event, LastEventId};
//!
//! const LAST: u64 = 100;
//!
//! # #[cfg(feature = "axum")]
//! async fn job(last: Option<LastEventId>) -> Response {
//!     let seen = last.and_then(|last| last.parse().ok()).unwrap_or(0);
//!     if seen >= LAST {
//!         return StatusCode::NO_CONTENT.into_response();
//!     }
//!     let rest = stream::iter((seen + 1..=LAST).map(|n| Event::new().id(n).data("…")));
//!     tower_sse::response(rest).into_response()
//! }
//! ```
//!
//! # Page code
//!
//! - A page that is loaded again has a new `EventSource`, which sends no id. Keep the last id in
//!   `sessionStorage`, together with what the page shows, and send it in the query:
//!   [`last_event_id_query`](SseLayer::last_event_id_query) accepts it. The example `chat` does so.
//!   With a hub, the server can also render [`Hub::position`](crate::hub::Hub::position) into the
//!   page, with what the page shows at that moment.
//! - A page that the user leaves can stay in the back/forward cache with its stream open. Chromium
//!   kept one for more than 20 seconds. Close the stream on `pagehide`, and open it on `pageshow`.
//!
//! [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model

// Names for the links above.
#[allow(unused_imports)]
use crate::{CloseReason, CloseReport, Disconnect, SseLayer};
