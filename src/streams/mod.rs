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
//! - The order decides nothing else: a subject may be added before or after the check. A close
//!   counts for every request that arrived before it.
//!
//! # How closed streams end
//!
//! A closed stream ends between events, or half a second later if its source stays mid-event. No
//! [terminator](crate::SseLayer::terminator) or [farewell](crate::SseLayer::farewell) is sent, and
//! [`on_error`](crate::SseLayer::on_error) is not called. The reason is
//! [`CloseReason::Revoked`](crate::CloseReason::Revoked).
//!
//! - The stream of an `EventSource`, or of another `GET` request, ends cleanly. An `EventSource`
//!   reconnects, and the program's check decides. Answer `401` or `204` to stop it.
//! - The body of a `fetch` client or a call fails, so that half an answer does not look complete.
//! - The layer cannot end the stream of a client that does not read. It no longer counts, and is
//!   reported when its connection closes.
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
//!   If Redis is away for longer than the program accepts, call [`Streams::close_all`] in each
//!   process.
//! - If closes are lost, as when Redis restarts without its data, each process closes all its
//!   streams that have a subject. The clients return at random times.
//! - `count` and `subjects` are those of one process; [presence](#presence) sums them.
//!
//! # More recipes
//!
//! **A tenant.** Add `tenant:7` to the streams of its users. `streams.close("tenant:7")` closes all
//! of them, and `streams.count("tenant:7")` returns how many are open.
//!
//! **A token that expires.** Set its remaining time as the maximum age of the response, [without a
//! grace period](crate::operating::clients#credentials-that-expire).
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
//! # Presence
//!
//! To count the streams of all processes, each process publishes its counts to a topic at an interval,
//! and sums those that it has received of late:
//!
//! ```
//! # #[cfg(all(feature = "hub", feature = "testing"))]
//! # mod with_hub {
//! use std::{collections::HashMap, sync::{Arc, Mutex}, time::Duration};
//!
//! use futures_util::StreamExt;
//! use tokio::time::{Instant, interval};
//! use tower_sse::{hub::{Hub, PublishError}, streams::Streams};
//!
//! # pub
//! const INTERVAL: Duration = Duration::from_secs(5);
//!
//! /// The newest report of each process, and when it came.
//! #[derive(Clone, Default)]
//! # pub
//! struct Presence(Arc<Mutex<HashMap<String, (Instant, String)>>>);
//!
//! impl Presence {
//!     /// Starts to follow the counts of all processes, and to report those of this one.
//! #   pub
//!     fn start(hub: &Hub, streams: &Streams) -> Self {
//!         let presence = Self::default();
//!         tokio::spawn(presence.clone().follow(hub.clone()));
//!         tokio::spawn(report(hub.clone(), streams.clone()));
//!         presence
//!     }
//!
//!     async fn follow(self, hub: Hub) {
//!         let mut reports = hub.subscribe_to("presence").resume(None).messages();
//!         while let Some(report) = reports.next().await {
//!             let Some((process, counts)) = report.data.split_once('\n') else { continue };
//!             let report = (Instant::now(), counts.to_owned());
//!             self.0.lock().unwrap().insert(process.to_owned(), report);
//!         }
//!     }
//!
//!     /// Returns how many streams of a subject are open in all processes.
//! #   pub
//!     fn count(&self, subject: &str) -> usize {
//!         let mut processes = self.0.lock().unwrap();
//!         processes.retain(|_, (since, _)| since.elapsed() < 3 * INTERVAL);
//!         let counts = processes.values().flat_map(|(_, counts)| counts.lines());
//!         let of_subject = counts.filter_map(|line| line.split_once(' '));
//!         of_subject.filter(|(_, name)| *name == subject).filter_map(|(n, _)| n.parse::<usize>().ok()).sum()
//!     }
//! }
//!
//! async fn report(hub: Hub, streams: Streams) {
//!     let process = format!("{:x}", fastrand::u64(..));
//!     let mut ticks = interval(INTERVAL);
//!     loop {
//!         ticks.tick().await;
//!         let mut report = format!("{process}\n");
//!         for (subject, count) in streams.subjects() {
//!             // Only the subjects that are counted, because each process receives every report.
//!             if subject.starts_with("tenant:") {
//!                 report += &format!("{count} {subject}\n");
//!             }
//!         }
//!         // After another error, the next report follows.
//!         if let Err(PublishError::Closed) = hub.publish("presence", report).await {
//!             return;
//!         }
//!     }
//! }
//! # }
//! # #[cfg(not(all(feature = "hub", feature = "testing")))]
//! # fn main() {}
//! # #[cfg(all(feature = "hub", feature = "testing"))]
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! #     use std::{convert::Infallible, future::ready, time::Duration};
//! #     use futures_util::stream;
//! #     use http::Request;
//! #     use tower::{Layer, ServiceExt, service_fn};
//! #     use tower_sse::{Event, SseLayer, hub::Hub, streams::Streams, testing::MemoryBroker};
//! #     let broker = MemoryBroker::new();
//! #     let mut processes = Vec::new();
//! #     for _ in 0..2 {
//! #         let hub = Hub::connect(broker.clone()).await.unwrap();
//! #         let streams = Streams::connect(&hub, "closes");
//! #         processes.push((hub.clone(), streams.clone(), with_hub::Presence::start(&hub, &streams)));
//! #     }
//! #     let mut open = Vec::new();
//! #     for (process, subject) in [(0, "tenant:7"), (1, "tenant:7"), (1, "tenant:7"), (1, "tenant:8"), (0, "user:1")] {
//! #         let streams = &processes[process].1;
//! #         let mut request = Request::new(());
//! #         streams.subjects_of(&mut request).add(subject);
//! #         let service = SseLayer::new().streams(streams).layer(service_fn(|_| {
//! #             ready(Ok::<_, Infallible>(tower_sse::response(stream::pending::<Event>())))
//! #         }));
//! #         open.push(service.oneshot(request).await.unwrap());
//! #     }
//! #     let wait = |intervals| tokio::time::sleep(intervals * with_hub::INTERVAL + Duration::from_millis(1));
//! #     wait(1).await;
//! #     for (_, _, presence) in &processes {
//! #         let counts = ["tenant:7", "tenant:8", "tenant:9", "user:1"].map(|name| presence.count(name));
//! #         assert_eq!(counts, [3, 1, 0, 0]);
//! #     }
//! #     open.truncate(2);
//! #     wait(1).await;
//! #     assert_eq!(processes[0].2.count("tenant:7"), 2, "the last one ended");
//! #     broker.pause(&processes[1].0);
//! #     wait(3).await;
//! #     assert_eq!(processes[1].2.count("tenant:7"), 0, "a process that is cut off hears nothing");
//! #     processes[1].0.close();
//! #     wait(3).await;
//! #     assert_eq!(processes[0].2.count("tenant:7"), 1, "the other process is gone");
//! # }
//! ```
//!
//! The sums are estimates:
//!
//! - They are up to an interval old. A client that moves to another process can count twice, or not at
//!   all, for that time.
//! - The streams of a process that was killed count for three intervals. A process that has just
//!   started knows the others after one.
//! - A process that is cut off from the broker has no sums, and after three intervals the sums of the
//!   others lack its streams.
//! - They count streams: a user with two tabs has two. A client that vanished counts until the server
//!   [notices](crate::operating::proxies#sockets), and one that was told to end does not count.
//!
//! # Layers within layers
//!
//! - The inner layer owns a stream, whose subjects are those of the request. So it is closed even if
//!   only the outer layer has [`streams`](crate::SseLayer::streams).
//! - Use one [`Streams`] for all layers around a handler. An inner layer with another one replaces
//!   the subjects of the outer one, and logs a WARN line (feature `tracing`).
//! - Each client of a [run](crate::runs) has the subjects of its own request. Closing one stream ends
//!   neither the run nor the streams of its other clients. Add subjects in middleware outside of
//!   [`RunLayer`](crate::runs::RunLayer), because the handler is called only for the first client.
//!
//! # Cost
//!
//! A request costs three allocations if `streams` is set. A stream with one subject costs up to 250
//! bytes. The newest 65,536 closes are remembered, in 24 bytes each; a stream whose request arrived
//! before them is closed when it opens.

mod close_log;
mod error;
mod members;
mod membership;
mod registry;
mod relay;
#[allow(clippy::module_inception)]
mod streams;
mod subjects;

pub use self::{error::CloseError, streams::Streams, subjects::Subjects};

pub(crate) use self::{
    membership::{Membership, Revocation},
    relay::{Closing, Followed, Publishing, Relay},
};
