//! A publish-subscribe hub: the subscribers of a topic receive all events of the topic, and clients
//! that reconnect receive the events that they missed (feature `hub`).
//!
//! ```
//! use axum::{Router, extract::State, response::IntoResponse, routing::get};
//! use tower_sse::{Event, LastEventId, SseLayer, hub::Hub};
//!
//! # #[cfg(feature = "axum")]
//! async fn events(State(hub): State<Hub>, last: Option<LastEventId>) -> impl IntoResponse {
//!     hub.subscribe(["news"]).recent(10).resume(last).response()
//! }
//! # #[cfg(not(feature = "axum"))]
//! # async fn events() {}
//!
//! # async fn run() -> Result<(), tower_sse::hub::PublishError> {
//! let hub = Hub::new();
//! let app: Router =
//!     Router::new().route("/events", get(events)).layer(SseLayer::new()).with_state(hub.clone());
//!
//! let receipt = hub.publish("news", Event::new().event("headline").data("…")).await?;
//! println!("{} for {} subscribers", receipt.id(), receipt.subscribers);
//! # Ok(())
//! # }
//! ```
//!
//! # Topics
//!
//! Any string can be the name of a topic. Subscribing and publishing create the topic, which exists
//! while it has subscriptions or keeps events. To address one client, give it a topic of its own.
//! To address a group or all clients, let them share a topic:
//!
//! ```
//! # use tower_sse::{Event, LastEventId, hub::{Hub, PublishError}};
//! # async fn run(hub: Hub, last: Option<LastEventId>) -> Result<(), PublishError> {
//! let stream = hub.subscribe(["all", "room:kitchen", "client:42"]).resume(last);
//!
//! hub.publish("client:42", "to one").await?;
//! hub.publish("room:kitchen", "to some").await?;
//! hub.publish("all", "to all").await?;
//! # drop(stream);
//! # Ok(())
//! # }
//! ```
//!
//! [`publish_now`](Hub::publish_now) is for synchronous code, in a hub without a broker.
//!
//! # JSON
//!
//! With feature `json`, a value that implements `Serialize` becomes the data of an event:
//!
//! ```
//! # #[cfg(feature = "json")] {
//! use serde::Serialize;
//! use tower_sse::{Event, Json, hub::{Hub, PublishError}};
//!
//! #[derive(Serialize)]
//! struct Order { id: u64, status: &'static str }
//!
//! async fn publish(hub: &Hub, order: &Order) -> Result<(), PublishError> {
//!     hub.publish("orders", Json::new(order)).await?;
//!     hub.publish("orders", Event::new().event("order").json(order)).await?; // with a name
//!     Ok(())
//! }
//! # drop(publish(&Hub::new(), &Order { id: 1, status: "paid" }));
//! # }
//! ```
//!
//! The value is serialised once, when it is published. A web page reads it with
//! `JSON.parse(event.data)`.
//!
//! # Order and resumption
//!
//! The hub assigns ids in the order of publication, across all its topics. One `Last-Event-ID` is
//! therefore enough for a stream of many topics. A subscription that [resumes](Subscribe::resume)
//! after an id continues with the next event that is kept, in order and without duplicates.
//!
//! If events after that id were evicted because of a [limit](#memory), the client receives an event
//! named `gap` with the topic's name as its data. The client also receives a gap if the hub cannot
//! know whether the client missed events, for example if the client's id comes from another hub.
//! [`GapPolicy`] sets what happens at a gap. If your program may have missed events itself, it
//! reports a gap with [`Hub::gap`].
//!
//! An `EventSource` has an id from its first visit on: if nothing else with an id comes first, the
//! stream begins with an event named [`start`](Subscribe::start_event), which `onmessage` does not
//! receive. Other clients receive this event if you turn it on, or a
//! [greeting](Subscribe::greeting). Without either, such a client has no id before its first event:
//! if it disconnects, it misses what is published until it reconnects.
//!
//! Delivery is *at most once, and a loss is reported*: a client with an id never receives an event
//! twice. It receives a gap for the events that it misses, if [all processes have the same
//! limits](#many-processes). Publishing is *at most once* too. With a broker, publishing can fail
//! with [`PublishError::Unknown`]. If the program then publishes the event again, publishing is *at
//! least once*: clients must recognise duplicates by a key in the data.
//!
//! # In a page
//!
//! ```js
//! const source = new EventSource("/events");
//!
//! source.onopen = () => show("connected");
//! source.addEventListener("headline", event => show(event.data));
//! // Events are missing: load the current state.
//! source.addEventListener("gap", event => reload(event.data));
//! // The topic has ended: do not reconnect.
//! source.addEventListener("done", () => source.close());
//! source.onerror = () => {
//!     const isOver = source.readyState === EventSource.CLOSED; // 2
//!     show(isOver ? "closed" : "reconnecting");
//! };
//! ```
//!
//! - The page defines `show` and `reload`. `onmessage` receives the events that have no name.
//! - The browser reconnects after the stream ends or the connection breaks, and sends the id of the
//!   last event that it received.
//! - The `EventSource` stops for good, with `readyState` 2, after `close()` and after any status
//!   but 200. When all topics have ended, [`Subscription::response`] answers `204` to an
//!   `EventSource` that has received everything. To stop an `EventSource` in any other case, let
//!   the handler answer `204`.
//! - `done` is the name of the topic's last event, which the program publishes with [`Hub::end`],
//!   for example as `Event::new().event("done").data("")`.
//!
//! # Progress of a job
//!
//! [`Hub::end`] publishes the last event of a topic. A stream ends once all of its topics have
//! ended. Here, each job has a topic:
//!
//! ```
//! # #[cfg(feature = "axum")] {
//! use axum::{Router, extract::{Path, State}, http::StatusCode, routing::get};
//! use axum::response::{IntoResponse, Response};
//! use futures_util::stream;
//! use tower_sse::{Event, LastEventId, SseLayer, hub::{Hub, PublishError}};
//! # #[derive(Clone, Default)]
//! # struct Jobs;
//! # impl Jobs { fn find(&self, _: u64) -> Option<Job> { None } }
//!
//! enum Job { Running, Ended(Event) } // in a table of the program
//!
//! async fn work(hub: Hub, job: u64) -> Result<(), PublishError> {
//!     let topic = format!("job:{job}");
//!     for percent in (0..100).step_by(10) {
//!         hub.publish(&topic, percent.to_string()).await?;
//!         // …
//!     }
//!     hub.end(&topic, Event::new().event("done").data("the result")).await?;
//!     Ok(())
//! }
//!
//! async fn progress(
//!     State((hub, jobs)): State<(Hub, Jobs)>,
//!     Path(job): Path<u64>,
//!     last: Option<LastEventId>,
//! ) -> Response {
//!     let is_over = last.as_ref().is_some_and(|last| last.as_str() == "over");
//!     let progress = hub.subscribe_to(format!("job:{job}")).recent(1).resume(last);
//!     match jobs.find(job) {
//!         None => StatusCode::NOT_FOUND.into_response(),
//!         Some(Job::Running) => progress.into_response(),
//!         Some(Job::Ended(_)) if is_over || progress.has_ended() => {
//!             StatusCode::NO_CONTENT.into_response()
//!         }
//!         Some(Job::Ended(result)) => {
//!             tower_sse::response(stream::iter([result.id("over")])).into_response()
//!         }
//!     }
//! }
//!
//! # let state = (Hub::new(), Jobs);
//! let app: Router =
//!     Router::new().route("/jobs/{job}", get(progress)).layer(SseLayer::new()).with_state(state);
//! # drop((app, work(Hub::new(), 7), [Job::Running]));
//! # }
//! ```
//!
//! - If a job fails, publish its last event with another name than `done`, such as `failed`.
//! - With `recent(1)`, a client receives the latest state of the job on its first visit.
//! - An `EventSource` that reconnects after the last event receives `204`, and stops. If the page
//!   closes its `EventSource` at `done`, it avoids this last request.
//! - If the process that works on a job exits, the topic of the job does not end, and the clients
//!   keep waiting. If another process then finishes or abandons the job, that process must end the
//!   topic.
//! - The hub forgets an ended topic once its last event exceeds the age limit of the hub's
//!   [`retention`](HubBuilder::retention) and is evicted. A client without an id then gets a stream
//!   that waits for events. For a job that has ended, the handler therefore sends the result from
//!   the table of jobs. The result has the id `over`, which no hub assigns. A client that
//!   reconnects with this id already has the result, so the handler answers `204`. Write the result
//!   into the table before you publish the end.
//!
//! The example [job](https://docs.rs/crate/tower-sse/latest/source/examples/job/main.rs) is a
//! complete program with a page.
//!
//! # Only the newest value
//!
//! Give each value, such as a price or the location of a vehicle, a topic of its own, in which each
//! event replaces the previous event:
//!
//! ```
//! use std::time::Duration;
//! use tower_sse::{LastEventId, Retention, hub::{Hub, Subscription}};
//!
//! fn hub() -> Hub {
//!     Hub::builder()
//!         .retention_of(|topic| topic.starts_with("price:").then(Retention::latest))
//!         .build()
//! }
//!
//! fn prices(hub: &Hub, symbols: &[&str], last: Option<LastEventId>) -> Subscription {
//!     hub.subscribe(symbols.iter().map(|symbol| format!("price:{symbol}")))
//!         .flush_window(Duration::from_millis(100)) // at most one value of a topic in this time
//!         .resume(last)
//! }
//! # prices(&hub(), &["AAPL", "MSFT"], None);
//! ```
//!
//! - On a first visit, the stream begins with the newest value of each topic, unless
//!   [`since`](Subscribe::since) is set.
//! - A client that is behind, or was away, receives from each topic only the newest value that it
//!   missed. The replaced values do not cause a `gap`.
//! - If all topics of a hub are of this kind, pass [`Retention::latest`](crate::Retention::latest) to
//!   [`retention`](HubBuilder::retention).
//! - The example [ticker](https://docs.rs/crate/tower-sse/latest/source/examples/ticker/main.rs) is
//!   a complete program with a page.
//!
//! If a client does not read, the buffers of its connection can hold outdated values; see
//! [memory](#memory). The page
//! [operating](https://docs.rs/tower-sse-redis/latest/tower_sse_redis/operating/#only-the-newest-value)
//! of `tower-sse-redis` says how long Redis keeps values.
//!
//! # State in a database
//!
//! Take the [position](Hub::position) of the hub first, and then query the database. Use
//! [`since`](Subscribe::since) to start the stream after that position. In this example, the stream
//! of a first visit begins with all notes in the database. A client that reconnects receives the
//! notes that it missed. After that, both kinds of client receive new notes:
//!
//! ```
//! use tower_sse::{Event, LastEventId, hub::{GapPolicy, Hub, PublishError, Subscription}};
//! # struct Database;
//! # impl Database {
//! #     async fn notes(&self) -> String { String::new() }
//! #     async fn insert(&self, _: &str) -> u64 { 1 }
//! # }
//!
//! async fn notes(hub: &Hub, database: &Database, last: Option<LastEventId>) -> Subscription {
//!     let position = hub.position(); // before the query
//!     let backlog = Event::new().event("backlog").data(database.notes().await);
//!     let notes = hub.subscribe_to("notes").gap_policy(GapPolicy::ReportAndEnd);
//!     notes.since(position).greeting(backlog).resume(last)
//! }
//!
//! async fn add(hub: Hub, database: Database, text: String) -> Result<(), PublishError> {
//!     let row = database.insert(&text).await; // committed before it is published
//!     hub.publish("notes", format!("{row} {text}")).await?;
//!     Ok(())
//! }
//! ```
//!
//! - In a handler, call `tokio::spawn(add(…)).await`. Without `spawn`, a row could be committed and
//!   never published, because the server drops the handler when the client disconnects.
//! - No note is lost between the backlog and the events. A note that was committed before the
//!   query, but published after the position, comes twice: in the backlog and as an event. A client
//!   that disconnects between the two receives the event when it reconnects. The page must ignore
//!   rows that it already has.
//! - A client that reconnects receives the events that it missed. If some of these events were
//!   evicted, the client receives a gap, and then the backlog again. The same happens to a
//!   connected client that is so far behind that it misses events:
//!   [`ReportAndEnd`](GapPolicy::ReportAndEnd) ends its stream, and the client reconnects.
//! - Every connection queries the database, even if its client needs no backlog.
//! - If publishing fails, the row is already committed, but clients may not learn of it. Publish
//!   the event again; otherwise, clients may see the row only in their next backlog.
//! - The hub cannot map an id to a row, so the backlog has all rows. If a page should receive only
//!   the rows that it has missed, let it close its `EventSource` at the `gap` event, and open a new
//!   one whose URL has the number of the page's newest row. The greeting then needs only later
//!   rows.
//! - You can render the state into the page instead of sending a greeting. If you do, render the
//!   position too, and let the page send it in the query of the stream's URL
//!   ([`last_event_id_query`](crate::SseLayer::last_event_id_query)).
//! - The example [notes](https://docs.rs/crate/tower-sse/latest/source/examples/notes.rs) is a
//!   complete program.
//!
//! # One client's view
//!
//! A [filter](crate::filter) changes or drops single events for one client, for example by the
//! client's permissions or language:
//!
//! ```
//! use axum::response::IntoResponse;
//! use tower_sse::{
//!     Event, LastEventId,
//!     filter::{self, FilterBody, Verdict},
//!     hub::Hub,
//! };
//!
//! async fn orders(hub: Hub, user: String, last: Option<LastEventId>) -> impl IntoResponse {
//!     let own = filter::from_fn(move |event| match (&*event.name(), event.id()) {
//!         ("order", Some(id)) if !event.data().starts_with(&user) => {
//!             match Event::new().try_id(&*id) {
//!                 Ok(event) => Verdict::Replace(event.into()),
//!                 Err(error) => Verdict::Fail(error.into()),
//!             }
//!         }
//!         _ => Verdict::Pass,
//!     });
//!     hub.subscribe_to("orders").resume(last).response().map(|body| FilterBody::new(body, own))
//! }
//! # _ = orders;
//! ```
//!
//! - Check the name of the event, here `order`, and pass events with any other name: a filter also
//!   sees [gaps](GapPolicy), whose name is `gap`, and the [greeting](Subscribe::greeting).
//! - Here, the filter replaces another user's order with an event that has the same id and nothing
//!   else. According to the [HTML standard][html], a client that receives an id without data stores
//!   the id, but dispatches no event. With [`Verdict::Drop`](crate::filter::Verdict::Drop) instead,
//!   a client that sees few events keeps an old id. When it reconnects, it receives a gap if an
//!   event after this id was evicted. In Firefox, the same happens even with this filter, because
//!   Firefox [ignores an id without data](crate::Event::id).
//! - A filter runs for each event and each client. If a few additional topics serve the purpose,
//!   use topics instead.
//!
//! [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
//!
//! # Memory
//!
//! By default each topic keeps at most 1,024 events, 1 MiB of events, and 5 minutes of events. All
//! topics together use at most 64 MiB of memory. [`HubBuilder`] and [`Retention`](crate::Retention) change these
//! limits.
//!
//! No client has a queue, so a slow client does not delay other clients. Subscribers that are
//! behind receive several events in one frame of about 16 KiB, and subscribers at the same position
//! share the bytes of the frame. An event of 4 KiB or more has a frame of its own. Each topic
//! caches up to 16 of its newest frames. Older frames exist only while a connection still has to
//! write them.
//!
//! The only buffers for a single client are those of its connection: up to 16 frames in hyper, and
//! up to a few megabytes in the kernel. [`TCP_NOTSENT_LOWAT`](crate::guide::proxies#sockets) limits
//! the kernel's part.
//!
//! # Large events and binary data
//!
//! Without a broker, only [`max_memory`](HubBuilder::max_memory) limits the size of an event: a
//! larger event is not kept, and the subscribers of its topic receive a gap. The
//! [limit of a topic](crate::Retention::bytes) never evicts its newest event. Brokers have limits of their
//! own, which are listed for
//! [Redis](https://docs.rs/tower-sse-redis/latest/tower_sse_redis/running/#sizes-and-limits),
//! [PostgreSQL](https://docs.rs/tower-sse-postgres/latest/tower_sse_postgres/operating/#sizes) and
//! [SQLite](https://docs.rs/tower-sse-sqlite/latest/tower_sse_sqlite/#publishing-by-sql).
//! By default, this crate's own clients accept [1 MiB](crate::decode::Decoder::max_event_size) per
//! event.
//!
//! Events are text. Encode binary data as base64, which makes it a third larger. For large data,
//! publish a URL that the page fetches.
//!
//! # Many processes
//!
//! A hub from [`Hub::new`] lives in one process: a client that reconnects to another process, or
//! after a restart, receives a gap. [`Hub::connect`] takes a [broker], and each process then has
//! the same events with the same ids:
//!
//! | take | for |
//! |---|---|
//! | [`Hub::new`] | one process, whose clients load their state again after a restart |
//! | [SQLite](https://docs.rs/tower-sse-sqlite) | the processes of one machine, restarts without gaps, and no server |
//! | [PostgreSQL](https://docs.rs/tower-sse-postgres) | several machines, and events in the transactions of your data |
//! | [Redis](https://docs.rs/tower-sse-redis) | several machines, and the most events per second |
//!
//! To add a broker to a program that publishes with [`publish`](Hub::publish), change
//! only the line that creates the hub. Give the hubs of all processes the same
//! [retention](HubBuilder::retention) and the same [limit of memory](HubBuilder::max_memory).
//! Otherwise, a client of several topics can miss events without receiving a gap: it may receive a
//! newer event of another topic before the gap, and then reconnect with this event's id to a
//! process that has kept more events and so reports no gap.
//!
//! # Stopping work
//!
//! A request to stop a job can arrive at a process that does not work on the job. Publish the
//! request to a topic to which the task of the job subscribes:
//!
//! ```
//! use futures_util::StreamExt;
//! use tower_sse::{Event, hub::{Hub, PublishError}};
//! # async fn next_part() -> String { String::new() }
//!
//! async fn work(hub: Hub, job: u64) -> Result<(), PublishError> {
//!     let topic = format!("job:{job}");
//!     let mut stops = hub.subscribe_to(format!("stop:{job}")).resume(None).messages();
//!     for _ in 0..100 {
//!         tokio::select! {
//!             part = next_part() => hub.publish(&topic, part).await?,
//!             _ = stops.next() => break,
//!         };
//!     }
//!     hub.end(&topic, Event::new().event("done").data("")).await?;
//!     Ok(())
//! }
//!
//! async fn stop(hub: Hub, job: u64) -> Result<(), PublishError> {
//!     hub.publish(format!("stop:{job}"), "").await?;
//!     Ok(())
//! }
//! ```
//!
//! # Authorization
//!
//! - The hub does not authenticate clients: a handler that takes topics from a request has to check
//!   whether the client may read them. The page [authentication](crate::guide::authentication)
//!   shows how to derive topics from the logged-in user.
//! - Subscribing creates topics, so a client that chooses their names can create any number of
//!   topics.
//! - Ids contain a counter of all events of the hub, so clients can see how many events are
//!   published. With Redis, ids contain the time of publication instead.

// A publish goes from `hub.rs` down this table, and an event up to its client the other way:
//
// | `hub.rs`, `builder.rs` | `Hub`, its methods, and its options |
// | `append.rs` | `HubState`: the number of an event, and whether its topic has ended |
// | `losses.rs` | the losses that a broker reports |
// | `topic/` | the log of a topic, its end, and the eviction of all topics |
// | `subscription/` | one client: its start, what it reads next, its gaps |
// | `link.rs`, `broker.rs` | what a hub sends to a broker, and the broker's interface |
// | `receipt.rs`, `stats.rs` | what a publisher and an operator see |
// | `closes.rs` | a hub that closes the streams of all processes |

mod append;
pub mod broker;
mod builder;
mod closes;
#[allow(clippy::module_inception)]
mod hub;
mod link;
mod losses;
mod receipt;
mod stats;
mod subscription;
mod topic;

#[cfg(feature = "testing")]
pub(crate) use self::append::HubState;
pub use self::builder::HubBuilder;
pub use self::hub::{Hub, IntoEvent};
pub use self::receipt::{PublishError, Receipt};
pub use self::stats::HubStats;
pub use self::subscription::{Gap, GapPolicy, Messages, Subscribe, Subscription, TopicNames};

/// The sizes of what the streams of a hub hold in addition. `.ci/slow` measures the memory of a
/// whole stream.
#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use std::mem::size_of;

    use super::{Subscription, topic::Topic};
    use crate::layer::EventBody;

    #[test]
    fn subscription_and_topic_hold_as_much_as_is_written_here() {
        let body = size_of::<EventBody<Subscription>>();
        assert_eq!([body, size_of::<Subscription>(), size_of::<Topic>()], [216, 104, 312]);
    }
}
