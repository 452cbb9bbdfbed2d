//! Clients of event streams: how each kind reconnects, what happens when one disconnects, and how
//! to stop one for good.
//!
//! # How clients reconnect
//!
//! No single way to end or refuse a stream makes every client reconnect: what works for one client
//! stops another, or looks like an error to it. The layer therefore classifies each client by its
//! request:
//!
//! - **`EventSource`**: a `GET` whose `Accept` names `text/event-stream` and whose `Cache-Control`
//!   has `no-cache`. It reconnects after a clean end and after a failure. Any status but 200 stops
//!   it for good ([HTML][html]).
//! - **`GET` by `fetch`** in a browser: a `GET` with the same `Accept`, without `no-cache` but with
//!   `Sec-Fetch-Mode`. It reconnects after a failure or a bad status, but a clean end stops it.
//! - **Another `GET`**: a script, for example. Whether it reconnects is unknown.
//! - **A call**: any other method, such as a `POST`, also by `fetch`. The layer assumes that it
//!   does not reconnect, because the stream is its answer. A `QUERY` ([RFC
//!   10008](https://www.rfc-editor.org/rfc/rfc10008)) is a call too: a client may repeat it, but
//!   does not do so after a clean end. With [runs](crate::runs), a repeated one gets the same answer.
//!
//! The [shutdown](crate::Drain) and the [maximum age](crate::MaxAge) end a stream before its source
//! ends. The end depends on the client, as does the [refusal](crate::Refusal) of a stream:
//!
//! | client | the end, by default | the refusal, by default |
//! |---|---|---|
//! | EventSource | cleanly | `200` and a `retry` line |
//! | GET by fetch | by failing | `503` |
//! | another GET | cleanly | `503` |
//! | a call | by failing, if it is still open 30 s later | `503` |
//!
//! Where a clean end would not make the client reconnect, or would make a partial answer look
//! complete, the body fails.
//!
//! # Exceptions
//!
//! - **Over plain http**, browsers send `Sec-Fetch-Mode` only to localhost. A `fetch` to any other
//!   host counts as another `GET`.
//! - **A `fetch` with `cache: 'no-store'` or `'reload'`** sends the headers of an `EventSource`,
//!   and is treated as one. The same holds for every `fetch` while "disable cache" is on in the
//!   developer tools of Chromium or Firefox.
//! - **Clients on libsoup** (WebKitGTK, but not Safari) do not notice a body that fails. Over
//!   HTTP/1, they treat a chunked body without its last chunk as complete. Over HTTP/2, they ignore
//!   RST_STREAM and GOAWAY. To mark an answer as complete, send a
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
//! - **Late notice over HTTP/1.** In these cases, hyper notices a disconnect only at the second
//!   write after it, such as the second heartbeat:
//!   - the request body is unread, so let handlers of `POST` read it
//!   - bytes of the next request are buffered; a stray CRLF is enough
//!   - `half_close` is on
//! - **Spawned tasks continue.** To stop them, use [`Disconnect`], which
//!   [`track_disconnects`](SseLayer::track_disconnects) turns on. To let them finish, and record
//!   their events for a client that returns, use [runs](crate::runs).
//!
//! # Credentials that expire
//!
//! A stream outlives the authentication of its request. End it when the access token expires,
//! without a grace period. The client then reconnects with a fresh token or is rejected. The
//! middleware that checks the token sets the maximum age of the request's stream, inside or outside
//! of the layer:
//!
//! ```
//! use std::time::Duration;
//!
//! use http::Request;
//! use tower_sse::{MaxAge, StreamOptions};
//!
//! fn until_expiry<B>(request: &mut Request<B>, expires_in: Duration) {
//!     let max_age = MaxAge::new(expires_in).grace(Duration::ZERO);
//!     StreamOptions::new().max_age(max_age).merge_into_extensions(request.extensions_mut());
//! }
//! # until_expiry(&mut Request::new(()), Duration::ZERO);
//! ```
//!
//! JWT libraries accept a token for some time after its `exp`, often 60 seconds (leeway). Set the
//! leeway to zero, or add it to `expires_in`. Otherwise a client with an expired token is let in,
//! its stream ends at once, and it reconnects in a loop.
//!
//! To end streams when a user logs out, [close them](crate::streams).
//!
//! # Streams that are over for good
//!
//! An `EventSource` reconnects after every end, even when the job is done. To stop it, answer its
//! next request with `204 No Content` ([HTML][html]). The layer passes such a response through. Or
//! send a last event, such as a [`terminator`](SseLayer::terminator), at which the page closes the
//! `EventSource`. A topic of a hub that has [ended](crate::hub::Hub::end) answers `204` by itself.
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
//! - A reloaded page has a new `EventSource`, which sends no id. Keep the last id in
//!   `sessionStorage`, together with what the page shows, and send it in the query:
//!   [`last_event_id_query`](SseLayer::last_event_id_query) accepts it. The example `chat` does so.
//!   With a hub, the server can instead render the state into the page, together with
//!   [`Hub::position`](crate::hub::Hub::position).
//! - After the user leaves a page, the back/forward cache can keep its stream open: Chromium did so
//!   for more than 20 seconds. Close the stream on `pagehide`, and open it on `pageshow`.
//!
//! [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model

// Names for the links above.
#[allow(unused_imports)]
use crate::{CloseReason, CloseReport, Disconnect, SseLayer};
