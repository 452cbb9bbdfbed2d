//! Close the streams of a user, session or tenant at once.
//!
//! ```
//! # #[cfg(feature = "axum")]
//! # mod with_axum {
//! use axum::{
//!     Router,
//!     extract::{Request, State},
//!     http::StatusCode,
//!     middleware::{Next, from_fn_with_state},
//!     response::{IntoResponse, Response},
//! };
//! use tower_sse::{SseLayer, streams::{Streams, Subjects}};
//! # #[derive(Clone)]
//! # pub struct App { sessions: Sessions }
//! # #[derive(Clone)]
//! # struct Sessions;
//! # struct User { id: u64 }
//! # impl Sessions {
//! #     async fn check(&self, _: &str) -> Option<User> { None }
//! # }
//! # fn session_cookie(_: &Request) -> Option<String> { None }
//!
//! async fn auth(
//!     State(app): State<App>,
//!     subjects: Subjects,
//!     request: Request,
//!     next: Next,
//! ) -> Response {
//!     let Some(session) = session_cookie(&request) else {
//!         return StatusCode::UNAUTHORIZED.into_response();
//!     };
//!     let Some(user) = app.sessions.check(&session).await else {
//!         return StatusCode::UNAUTHORIZED.into_response();
//!     };
//!     subjects.add(format!("session:{session}"));
//!     subjects.add(format!("user:{}", user.id));
//!     next.run(request).await
//! }
//!
//! # pub
//! fn router(routes: Router, app: App, streams: &Streams) -> Router {
//!     routes.layer(from_fn_with_state(app, auth)).layer(SseLayer::new().streams(streams))
//! }
//! # }
//! ```
//!
//! A *subject* is any name: `user:42`, `session:abc`, `tenant:7`. A stream can have several. Only
//! event streams have subjects; other responses drop theirs.
//!
//! # Log out
//!
//! First write the log-out, then close. Both belong on a task, because axum drops a handler whose
//! client disconnects:
//!
//! ```
//! # use std::io;
//! use tower_sse::streams::Streams;
//! # #[derive(Clone)]
//! # struct Sessions;
//! # impl Sessions {
//! #     async fn delete(&self, _: &str) -> io::Result<()> { Ok(()) }
//! #     async fn delete_others(&self, _: u64, _: &str) -> io::Result<()> { Ok(()) }
//! # }
//!
//! async fn log_out(sessions: Sessions, streams: Streams, session: String) {
//!     let task = tokio::spawn(async move {
//!         sessions.delete(&session).await?;
//!         streams.close(format!("session:{session}")).await.map_err(io::Error::other)
//!     });
//!     _ = task.await;
//! }
//!
//! async fn log_out_other_devices(sessions: Sessions, streams: Streams, user: u64, session: String) {
//!     let task = tokio::spawn(async move {
//!         sessions.delete_others(user, &session).await?;
//!         let (user, session) = (format!("user:{user}"), format!("session:{session}"));
//!         streams.close_except(user, session).await.map_err(io::Error::other)
//!     });
//!     _ = task.await;
//! }
//! ```
//!
//! - The check of a request must see the write of an earlier log-out. It must not read a cache or a
//!   replica that lags behind, because the client would be let in again.
//! - A token that is checked without a store, such as a JWT, needs a list of revoked tokens.
//! - A subject may be added before or after the check. A close applies to every request that arrived
//!   before it.
//!
//! # How closed streams end
//!
//! A closed stream ends between events, or half a second later if its source stays mid-event. No
//! [terminator](crate::SseLayer::terminator) or [farewell](crate::SseLayer::farewell) is sent, and
//! [`on_error`](crate::SseLayer::on_error) is not called. The reason is
//! [`CloseReason::Revoked`](crate::CloseReason::Revoked).
//!
//! - The stream of an `EventSource`, or of any other `GET` client except `fetch`, ends cleanly. An
//!   `EventSource` reconnects, and the program's check decides. Answer `401` or `204` to stop it.
//! - The body of a `fetch` client or a call fails, so that half an answer does not look complete.
//! - The layer cannot end the stream of a client that does not read. That stream no longer counts, and
//!   its close is reported when the connection closes.
//!
//! # Many processes
//!
//! With [`Streams::connect`], which needs feature `hub`, a close reaches the streams of all
//! processes that share a [broker](crate::redis).
//!
//! - `close` first closes the streams of its own process, and then returns when the broker has
//!   acknowledged. With Redis this takes up to two seconds while Redis is away, and the log-out
//!   waits for it.
//! - After a [`CloseError`], other processes may keep their streams. Close again; that is safe.
//! - A process that was cut off from the broker receives the closes that it missed when it returns.
//!   If one of them is older than 5 minutes, or than the age of its hub's retention if that is more, it
//!   closes all its streams that have a subject. If Redis is away for longer than the program accepts, call [`Streams::close_all`] in each
//!   process.
//! - If closes are lost, as when Redis restarts without its data, each process closes all its
//!   streams that have a subject. The clients return at random times.
//! - `count` and `subjects` are those of one process; the page [presence](crate::guide::presence)
//!   sums them.
//!
//! # More recipes
//!
//! **A tenant.** Add `tenant:7` to the streams of its users. `streams.close("tenant:7")` closes all
//! of them, and `streams.count("tenant:7")` returns how many are open.
//!
//! **A token that expires.** Set its remaining time as the maximum age of the request's stream, [without
//! a grace period](crate::guide::clients#credentials-that-expire).
//!
//! **Middleware outside of the layer.** Call [`Streams::subjects_of`] before the check:
//!
//! ```
//! use http::Request;
//! use tower_sse::streams::Streams;
//! # async fn check<B>(_: &Request<B>) -> Option<String> { None }
//!
//! async fn authenticate<B>(streams: &Streams, request: &mut Request<B>) -> bool {
//!     let subjects = streams.subjects_of(request);
//!     let Some(user) = check(request).await else { return false };
//!     subjects.add(format!("user:{user}"));
//!     true
//! }
//! ```
//!
//! # Layers within layers
//!
//! - The inner layer closes its stream by the request's subjects, even if only the outer layer has
//!   [`streams`](crate::SseLayer::streams).
//! - Use one [`Streams`] for all layers around a handler. An inner layer with another one replaces
//!   the subjects of the outer one, and logs a WARN line (feature `tracing`).
//! - Each client of a [run](crate::runs) has the subjects of its own request. Closing one stream ends
//!   neither the run nor the streams of its other clients. Add subjects in middleware outside of
//!   [`RunLayer`](crate::runs::RunLayer), because the handler is called only for the first client.
//!
//! # Cost
//!
//! A request costs three allocations if `streams` is set. A stream with one subject costs up to 250
//! bytes. The newest 65,536 closes are remembered, in 24 bytes each. A stream is closed when it opens
//! if more closes have followed its request.

mod close_log;
mod closing;
mod error;
mod incoming;
mod member;
mod members;
mod membership;
mod open_streams;
mod outgoing;
#[allow(clippy::module_inception)]
mod streams;
mod subjects;

pub use self::{error::CloseError, streams::Streams, subjects::Subjects};

pub(crate) use self::{
    closing::Closing, incoming::Followed, member::Revocation, membership::Membership,
    outgoing::Publishing,
};
