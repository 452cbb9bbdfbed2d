//! Close all open streams of a user, session or tenant, or limit their number.
//!
//! Your user logs out, but the streams that are already open go on: a session is checked only when
//! a request arrives. Give each stream *subjects*, names that you choose, such as `user:42`,
//! `session:abc` or `tenant:7`. One call then closes all streams of a subject. Middleware adds the
//! subjects:
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
//! # Log out
//!
//! For one process, create the streams with [`Streams::new`], for [several](#many-processes) with
//! [`Streams::follow`].
//!
//! First record the logout in your session store, then close the streams. Do both on a spawned
//! task: axum drops a handler whose client disconnects. If the `log_out` below returns an error,
//! answer `503` and have the client repeat the request:
//!
//! ```
//! # use std::io;
//! use tower_sse::streams::Streams;
//! # #[derive(Clone)]
//! # struct Sessions;
//! # impl Sessions {
//! #     async fn delete(&self, _: &str) -> io::Result<()> { Ok(()) }
//! # }
//!
//! async fn log_out(sessions: Sessions, streams: Streams, session: String) -> io::Result<()> {
//!     let task = tokio::spawn(async move {
//!         sessions.delete(&session).await?;
//!         streams.close(format!("session:{session}")).await.map_err(io::Error::other)?;
//!         Ok(())
//!     });
//!     task.await?
//! }
//! ```
//!
//! To close the streams of a user's other devices, call [`Streams::close_except`] with `user:42`
//! and the `session:abc` to keep.
//!
//! An `EventSource` reconnects after its stream is closed, so your check must know about every
//! earlier logout. Don't let the check read from a cache, or from a replica that lags behind. If
//! you check tokens without a store, as with JWTs, keep a list of revoked tokens. If the check
//! can't tell, for example because the store is down, answer with a
//! [refusal](crate::Refusal::answer). An error status would stop an `EventSource` for good.
//!
//! If a request arrived before the `close` call, its stream is closed as soon as it opens. If
//! middleware outside of the layer does the check, have it call [`Streams::subjects_of`] first.
//! Otherwise, a `close` call during the check can miss the stream.
//!
//! With [`Streams::follow`], `close` can fail after your program has deleted the session. If the
//! client repeats the logout, close the streams even though the session is gone.
//!
//! # How closed streams end
//!
//! A closed stream ends the same way as with [`Drain::at_once`](crate::Drain::at_once), but without
//! a [farewell](crate::SseLayer::farewell). It sends the [drain's reconnection
//! time](crate::Drain::retry) only if all streams close together, as with [`Streams::close_all`].
//! Waiting events are dropped, even one published just before `close`. There's no
//! [terminator](crate::SseLayer::terminator), and [`on_error`](crate::SseLayer::on_error) isn't
//! called. The close report has the reason [`Revoked`](crate::CloseReason::Revoked).
//!
//! The stream of an `EventSource`, like most `GET` streams, ends cleanly. An `EventSource`
//! reconnects, and your check admits or rejects it. A `401` or `204` stops it.
//!
//! For methods other than `GET`, and for a `fetch` that [asks for an event
//! stream](crate::guide::clients#how-clients-reconnect), the body fails, so half an answer doesn't
//! look complete. With a content coding, the body fails for every client. It also fails if an event
//! has begun and the source doesn't complete it within half a second.
//!
//! If a client doesn't read, its stream ends only once the client reads again or is gone.
//!
//! # Many processes
//!
//! With [`Streams::follow`] (feature `hub`), `close` reaches the streams of all processes that
//! follow the same topic on a [broker](crate::hub::broker). You can safely call `close` again after
//! a [`CloseError`].
//!
//! A process that was cut off from the broker receives the close events that it missed. If any of
//! them are lost or no longer kept, the process closes all its streams that have a subject, as with
//! [`Streams::close_all`]. Each process keeps the close events of the last 5 minutes, up to 1,024
//! events and 1 MiB. If one of the hub's own retention limits is higher, that one applies.
//!
//! If the broker is unreachable for longer than you can tolerate, call [`Streams::close_all`] in
//! each process.
//!
//! If a process crashes between the two steps of a logout, the session's streams in other processes
//! stay open until the logout is repeated. A [maximum age](crate::SseLayer::max_age) limits how
//! long they stay open. If your sessions and your broker are in the same PostgreSQL database, do
//! both steps [in one
//! transaction](https://docs.rs/tower-sse-postgres/latest/tower_sse_postgres/notifications/#a-logout-in-a-transaction).
//!
//! # Limits for each subject
//!
//! [`StreamsBuilder::limit`] limits the open streams of each user, tenant or address:
//!
//! ```
//! use tower_sse::{SseLayer, streams::Streams};
//!
//! let streams = Streams::builder().limit("user:", 5).limit("tenant:", 1_000).build();
//! # let layer: SseLayer =
//! SseLayer::new().streams(&streams);
//! ```
//!
//! With a broker, call [`StreamsBuilder::follow`] in place of `build`.
//!
//! Each subject that begins with `user:` has its own limit: `user:42` may have 5 streams, and so
//! may `user:43`. Add every subject yourself, even an address such as `ip:192.0.2.7`: the crate
//! never reads addresses or `X-Forwarded-For`.
//!
//! A stream takes a place for each of its subjects when it opens. If one of the subjects is at its
//! limit, a stream with status 200 is refused with
//! [`Refusal::too_many_requests`](crate::Refusal::too_many_requests). By then, the handler has
//! usually done its work. To refuse a request earlier, look at the result of [`Subjects::add`].
//! Requests that arrive at the same time can all find the last place free. An [early
//! head](crate::early_head) after zero seconds takes the places as soon as the handler waits for
//! something.
//!
//! A stream keeps its places until it is closed or has ended. A closed stream ends once its client
//! reads, so a subject can have up to twice as many streams as its limit, closed ones included.
//!
//! If a client vanishes without a FIN, the server notices late: set
//! [`TCP_USER_TIMEOUT`](crate::guide::proxies#sockets). Some proxies keep the stream of a page that
//! was left or loaded again until the next heartbeat or longer: [`Streams::replace`] closes it once
//! the page's next stream opens.
//!
//! Each process counts only its own streams, so `n` processes allow up to `n` times the limit. To
//! add up the counts of all processes, use [this recipe](#counts-of-all-processes).
//!
//! # Layers within layers
//!
//! If one `SseLayer` is inside another, the inner layer opens the stream. It uses the request's
//! subjects, even if only the outer layer has [`streams`](crate::SseLayer::streams). If both layers
//! have `streams`, give them the same [`Streams`]: otherwise, the inner layer drops the subjects
//! that were added outside of it.
//!
//! With [runs](crate::runs), add subjects outside of [`RunLayer`](crate::runs::RunLayer):
//! middleware inside of it runs only for the first client. Closing a subject's streams doesn't
//! cancel the run.
//!
//! # Cost
//!
//! With [`SseLayer::streams`](crate::SseLayer::streams), each request costs a few allocations. A
//! stream with subjects costs a few more when it opens.
//!
//! # Counts of all processes
//!
//! In this recipe, each process publishes its counts to a topic once per interval.
//! `Presence::count` adds up the newest counts of all processes that have reported within the last
//! three intervals. Give the reports a hub of their own, such as a second broker with another name:
//! ten processes publish 7,200 an hour, which would evict quiet topics' events from a shared log.
//!
//! ```
//! # #[cfg(feature = "hub")]
//! # mod presence {
//! use std::{collections::HashMap, sync::{Arc, Mutex}, time::Duration};
//!
//! use futures_util::StreamExt;
//! use tokio::time::{Instant, interval};
//! use tower_sse::{hub::{Hub, PublishError}, streams::Streams};
//!
//! const INTERVAL: Duration = Duration::from_secs(5);
//!
//! /// The newest report of each process, and when it came.
//! #[derive(Clone, Default)]
//! struct Presence(Arc<Mutex<HashMap<String, (Instant, String)>>>);
//!
//! impl Presence {
//!     /// Starts to follow the counts of all processes, and to report those of this one.
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
//!             // After a gap, the next reports come within an interval.
//!             let Ok(report) = report else { continue };
//!             let Some((process, counts)) = report.data.split_once('\n') else { continue };
//!             let report = (Instant::now(), counts.to_owned());
//!             self.0.lock().unwrap().insert(process.to_owned(), report);
//!         }
//!     }
//!
//!     /// Returns how many streams of a subject are open in all processes.
//!     fn count(&self, subject: &str) -> usize {
//!         let mut processes = self.0.lock().unwrap();
//!         processes.retain(|_, (since, _)| since.elapsed() < 3 * INTERVAL);
//!         let counts = processes.values().flat_map(|(_, counts)| counts.lines());
//!         let of_subject = counts.filter_map(|line| line.split_once(' '));
//!         of_subject
//!             .filter(|(_, name)| *name == subject)
//!             .filter_map(|(n, _)| n.parse::<usize>().ok())
//!             .sum()
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
//!             // Report only the subjects that `count` is called with: every process receives
//!             // each report, so keep it short.
//!             if subject.starts_with("tenant:") {
//!                 report += &format!("{count} {subject}\n");
//!             }
//!         }
//!         // Any other error loses only this report. A report above 1 MiB is `TooLarge`.
//!         if let Err(PublishError::Closed) = hub.publish("presence", report).await {
//!             return;
//!         }
//!     }
//! }
//! # }
//! ```
//!
//! The sums are estimates, usually at most one interval old. During its first interval, a new
//! process can return sums that are too low. After a process has stopped, its streams still count
//! for up to three intervals. Once a process has been cut off from the broker for three intervals,
//! its sums are zero.

// | `streams.rs` | `Streams`, its options, and closes that come from other processes |
// | `subjects.rs` | the subjects of a request, and a stream's membership in them |
// | `member.rs` | one open stream, and whether it was closed |
// | `open_streams.rs` | which streams of a subject are open, and the closes that are remembered |
// | `limits.rs` | how many streams a subject may have |

mod limits;
mod member;
mod open_streams;
mod streams;
mod subjects;

pub use self::streams::{CloseError, Streams, StreamsBuilder, StreamsStats};
pub use self::subjects::Subjects;

pub(crate) use self::streams::{Followed, Publishing};
pub(crate) use self::subjects::Membership;
pub(crate) use self::{member::Revocation, open_streams::Closing};

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use std::mem::size_of;

    use super::{member::Member, subjects::Membership};

    #[test]
    fn stream_with_subjects_holds_as_much_as_is_written_here() {
        assert_eq!([size_of::<Membership>(), size_of::<Member>()], [16, 48]);
    }
}
