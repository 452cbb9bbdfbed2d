//! Topics that deliver events to many clients (feature `hub`). A client that reconnects resumes
//! where it left off.
//!
//! Say each of your clients reads from a broadcast channel. A client that is offline for ten
//! seconds misses what you publish meanwhile.
//!
//! A hub keeps the recent events of each topic, by default for up to five minutes. Each event has
//! an id, and a client that reconnects sends the last id it received. The hub then sends what the
//! client missed. If some of it is gone, the client gets an event named `gap`, so that your page
//! can reload its state.
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
//! To reach one client, give it a topic of its own. To reach a group, or everyone, let clients
//! share a topic. A client that [subscribes](Hub::subscribe) to `["all", "room:kitchen",
//! "client:42"]` gets what you publish to any of the three.
//!
//! Publishing or subscribing creates a topic, which exists while it has subscriptions or keeps
//! events.
//!
//! The topics of an open subscription are fixed: to change them, the client opens a new stream. The
//! client's last event id is for the former topics, so call `resume(None)`. With the id, the client
//! receives no greeting, no earlier events of the new topics, and no gap for these events.
//!
//! # JSON
//!
//! With feature `json`, you can publish any value that implements `Serialize`:
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
//! Your page reads the value with `JSON.parse(event.data)`.
//!
//! # Order and resumption
//!
//! Ids follow the order of publication across all topics, so one `Last-Event-ID` is enough for many
//! topics. A subscription that [resumes](Subscribe::resume) after an id continues with the next
//! event that the hub still keeps.
//!
//! Delivery is *at most once, and a loss is reported*: a client with an id of this hub never
//! receives an event twice, and gets a [gap](#gaps) for what it misses. [Several
//! processes](#many-processes) add exceptions. In a topic that keeps [only the newest
//! value](#only-the-newest-value), replaced values cause no gap.
//!
//! A client that disconnects before it has received an id can miss events without a gap. That's why
//! an `EventSource` or a [library](crate::ClientKind::Library) gets an id at once by default, if
//! necessary in an event named [`start`](Subscribe::start_event). For other clients, turn `start`
//! on, or send a [greeting](Subscribe::greeting). A [filter](crate::filter) that drops a stream's
//! first event drops this id with it: use a [view](#one-clients-view) instead.
//!
//! You can't take a published event back. [Filter](#one-clients-view) it out of later streams.
//!
//! ## Gaps
//!
//! If a [limit](#memory) has evicted events that the client missed, the client gets a `gap`, whose
//! data is a JSON object with the `topic` and the [`reason`](GapReason). A client whose id the hub
//! doesn't know gets gaps too: [`resume`](Subscribe::resume) lists the cases.
//!
//! A topic with neither events nor subscribers is removed. The hub remembers what the last 65,536
//! removed topics have lost. If there are more, clients that return to a quiet topic with an older
//! id get a gap, although they have missed nothing.
//!
//! [`GapPolicy`] sets what happens at a gap. If your program may have missed events itself, for
//! example from an upstream, report a gap with [`Hub::gap`].
//!
//! # In a page
//!
//! ```js
//! import { EventStream } from "/tower-sse.js";
//!
//! const source = new EventStream("/events", { poll: 8 });
//! source.onopen = () => show("connected");
//! source.addEventListener("headline", event => show(event.data));
//! // Events are missing: load the current state.
//! source.addEventListener("gap", event => reload(JSON.parse(event.data).topic));
//! source.onerror = ({ status }) => {
//!   const isOver = source.readyState === EventStream.CLOSED;
//!   show(isOver ? `closed: ${status}` : "reconnecting");
//! };
//! ```
//!
//! Events without a name go to `onmessage`. When the stream ends or breaks, or a proxy answers
//! `502`, the [module](crate::page) continues after the last id it received. At a `204`, it stops.
//!
//! [`Subscription::response`] answers with `204` once all topics have ended and the client has
//! nothing left to receive. A first visit gets `204` too, unless there is something to send, such
//! as [`recent`](Subscribe::recent) events.
//!
//! # Reserved names
//!
//! Pages reload at a `gap`, so only the hub sends events with this name. Publishing one fails with
//! [`PublishError::Invalid`]: to report a gap, call [`Hub::gap`]. Brokers accept a gap that another
//! program writes.
//!
//! Other names aren't reserved, but pages can confuse some of them with events that the crate or
//! the browser sends. An event named `start` with the data `{}` looks like the hub's, and one named
//! `retry` like a [refusal's](crate::Refusal). `EventSource` itself dispatches `open` and `error`.
//! In a stream of [runs](crate::runs#half-an-answer), `interrupted` means that the answer may be
//! incomplete. If users choose event names, add a prefix.
//!
//! # Progress of a job
//!
//! A client follows a job until it's done. Give each job a topic, and publish the topic's last
//! event with [`Hub::end`]. The clients' streams then end:
//!
//! ```
//! # #[cfg(feature = "axum")] {
//! use axum::{Router, extract::{Path, State}, http::StatusCode, routing::get};
//! use axum::response::{IntoResponse, Response};
//! use futures_util::stream;
//! use tokio::time::{Duration, sleep};
//! use tower_sse::{Event, LastEventId, SseLayer, hub::{Hub, PublishError}};
//! # #[derive(Clone, Default)]
//! # struct Jobs;
//! # impl Jobs { fn find(&self, _: u64) -> Option<Job> { None } }
//!
//! enum Job { Running, Ended(Event) } // in a table of the program
//!
//! async fn work(hub: Hub, job: u64) {
//!     let topic = format!("job:{job}");
//!     for percent in (0..100).step_by(10) {
//!         _ = hub.publish(&topic, percent.to_string()).await;
//!         // …
//!     }
//!     let last = Event::new().event("done").data("the result");
//!     while let Err(error @ (PublishError::Refused(_) | PublishError::Unknown(_))) =
//!         hub.end(&topic, last.clone()).await
//!     {
//!         eprintln!("{topic}: {error}");
//!         sleep(Duration::from_secs(1)).await;
//!     }
//! }
//!
//! async fn progress(
//!     State((hub, jobs)): State<(Hub, Jobs)>,
//!     Path(job): Path<u64>,
//!     last: Option<LastEventId>,
//! ) -> Response {
//!     let has_id = last.is_some();
//!     let is_over = last.as_ref().is_some_and(|last| last.as_str() == "over");
//!     let progress = hub.subscribe_to(format!("job:{job}")).recent(1).resume(last);
//!     match jobs.find(job) {
//!         None => StatusCode::NOT_FOUND.into_response(),
//!         Some(Job::Running) => progress.into_response(),
//!         Some(Job::Ended(_)) if is_over || (has_id && progress.has_ended()) => {
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
//! With `recent(1)`, a first visit begins with the job's newest event, if the hub still keeps it.
//! After the last event, a page reconnects, gets `204` and stops.
//!
//! In any hub, an event that is [too large](#large-events-and-binary-data) is never published: send
//! a link to the result. With a broker, publishing can also fail for a while. A lost percentage
//! does no harm, because the next one replaces it. But clients wait for the last event, so repeat
//! `Hub::end` until it succeeds.
//!
//! If the job's process dies or its task panics, clients keep waiting. The process that then
//! finishes or abandons the job must end the topic.
//!
//! Once the last event is older than the hub's [age limit](HubBuilder::retention), the hub can
//! forget the topic. A client without an id would then wait forever, so the handler answers from
//! the table. The id `over`, which no hub assigns, tells the handler that a client already has the
//! result. Write the result to the table before you publish the end. The example
//! [job](https://docs.rs/crate/tower-sse/latest/source/examples/job/main.rs) is the whole program.
//!
//! # Only the newest value
//!
//! A dashboard needs only the newest value of each gauge or price. Give each one its own topic, in
//! which each event replaces the previous one. If your values change together, publish them all as
//! one JSON object in one topic instead.
//!
//! The example
//! [ticker](https://docs.rs/crate/tower-sse/latest/source/examples/ticker/main.rs) is the whole
//! program: a server with a graceful shutdown, and [its
//! page](https://docs.rs/crate/tower-sse/latest/source/examples/ticker/page.html). Its parts:
//!
//! ```
//! use std::time::Duration;
//!
//! use axum::{extract::State, response::IntoResponse};
//! use tower_sse::hub::{Hub, PublishError};
//! use tower_sse::{LastEventId, Retention, SseLayer};
//!
//! fn hub() -> Hub {
//!     Hub::builder().retention(Retention::latest()).build()
//! }
//!
//! fn layer() -> SseLayer {
//!     SseLayer::new().for_pages()
//! }
//!
//! async fn publish(hub: &Hub, symbol: &str, price: f64) -> Result<(), PublishError> {
//!     // Events don't name their topics, so the data begins with the topic's name.
//!     hub.publish(symbol, format!("{symbol} {price:.2}")).await?;
//!     Ok(())
//! }
//!
//! async fn prices(State(hub): State<Hub>, last: Option<LastEventId>) -> impl IntoResponse {
//!     // At most one value of each topic per 100 ms. Needed only if values change more often.
//!     let window = Duration::from_millis(100);
//!     hub.subscribe(["AAPL", "MSFT"]).flush_window(window).resume(last).response()
//! }
//! # drop((layer(), publish(&hub(), "AAPL", 1.0)));
//! # drop(prices(State(hub()), None));
//! ```
//!
//! The page below takes the data's first word as the topic's name and the second as its value, so
//! neither can contain a space. To let other topics of the hub keep more events, use
//! [`retention_of`](HubBuilder::retention_of).
//!
//! A first visit begins with the newest value of each topic. A page that reconnects gets only newer
//! values, however long it was away, so it keeps the others. At a `gap`, the hub has lost a value:
//!
//! ```js
//! let source;
//!
//! function connect(url) {
//!   source?.close();
//!   const own = source = new EventStream(url, { poll: 8 });
//!   own.onopen = () => become("connected");
//!   own.onmessage = event => show(...event.data.split(" "));
//!   own.addEventListener("gap", event => show(JSON.parse(event.data).topic, "?"));
//!   own.onerror = ({ status }) =>
//!     become(own.readyState === EventStream.CLOSED ? `closed: ${status}` : "reconnecting");
//! }
//! ```
//!
//! After a silent network break, the [module](crate::page) opens another stream within 30 to 45
//! seconds. To notice a break sooner, call `heartbeat` after `for_pages`, with a shorter interval of
//! [`Heartbeat::for_pages`](crate::Heartbeat::for_pages). For more than six tabs in one browser,
//! serve [HTTP/2](crate::guide::proxies#http2-for-browsers).
//!
//! The page doesn't notice that your program publishes no more. If values should change regularly,
//! send their time too, and have the page show it.
//!
//! ## After a restart
//!
//! During a restart, the page keeps its values and shows "reconnecting". Once the server listens
//! again, each page is back [within 10 seconds](crate::guide::shutdown#reconnection-storms), or 30
//! after a proxy's `502`.
//!
//! After a restart, a hub without a [broker](#many-processes) has no values. A client that returns
//! gets a `gap` for each topic that has no value yet. To avoid this, publish all values before your
//! server's first request. You then need no broker. Several processes need none either, if each of
//! them publishes all values.
//!
//! ## Slow clients
//!
//! A slow client skips replaced values, but first gets the old ones in its connection's buffers.
//! The ticker limits the server's buffer with
//! [`TCP_NOTSENT_LOWAT`](crate::guide::proxies#sockets).
//!
//! nginx has a buffer of its own for each client, up to 4 MiB: at 10 kB per second, seven minutes
//! of old values. To limit it, add `sndbuf=32k` to nginx's `listen` line. For a client that has
//! stopped reading, nginx and the server together then hold about 0.3 MiB (measured over HTTP/1
//! with nginx 1.22). But large downloads to distant clients get slower.
//!
//! ## Memory of many topics
//!
//! A topic with a small value takes about 0.8 KiB once in each process, and under 0.1 KiB in each
//! stream that subscribes to it. A stream with 500 topics takes about 40 KiB for them.
//!
//! ## Logged-in users
//!
//! Copy `check`, `log_in` and `log_out` from
//! [notifications](crate::guide::notifications#the-program). In one process, create that program's
//! `streams` with [`Streams::new()`](crate::streams::Streams::new). At a `401`, have the page show
//! a log-in form.
//!
//! If users have different topics, call `resume(None)`: with the previous user's id, a stream would
//! lack the earlier values of other topics. Each stream then begins with all values, so have
//! `onopen` remove all rows.
//!
//! # State in a database
//!
//! Say your page shows notes from a database and then each new note. If you query and then
//! subscribe, you can lose what is published in between. Take the hub's [position](Hub::position)
//! first, then query, and start the stream [`since`](Subscribe::since) that position:
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
//! A first visit begins with all notes. A client that reconnects gets the notes it missed. If some
//! may have been lost, it gets a gap and then all notes again.
//! [`ReportAndEnd`](GapPolicy::ReportAndEnd) makes a connected client reconnect if it has missed
//! events.
//!
//! If the query fails, return a [refusal](crate::Refusal::answer): an error status would stop an
//! `EventSource` for good.
//!
//! No note is lost, as long as you don't query a replica that lags behind. But a note can come both
//! in the greeting and as an event, so have your page ignore rows it already has.
//!
//! In a handler, call `tokio::spawn(add(…)).await`. If the client disconnects, the server drops the
//! handler, but not the task. Without `spawn`, the row could be committed and never published. If
//! publishing is refused or its result is unknown, publish again.
//!
//! If it's too slow to query all rows for every connection, leave out the query and the greeting
//! when the request has a last event id. At a `gap`, have your page close its `EventSource` and
//! open a new one with the number of its newest row in the URL. The handler then queries the rows
//! from a little before that number, because rows can be committed out of order.
//!
//! Instead of sending a greeting, you can render the state and the position into the page. The page
//! then sends the position in [the URL of its stream](crate::SseLayer::last_event_id_query). The
//! example [notes](https://docs.rs/crate/tower-sse/latest/source/examples/notes.rs) sends a
//! greeting.
//!
//! # One client's view
//!
//! Say each client is allowed to see only some of a topic's events, or needs an encoding of its
//! own. A [view](Subscription::view) passes each event to a closure and sends what the closure
//! returns. Here, an order's data begins with the name of its user:
//!
//! ```
//! use axum::response::IntoResponse;
//! use tower_sse::{LastEventId, hub::Hub};
//!
//! async fn orders(hub: Hub, user: String, last: Option<LastEventId>) -> impl IntoResponse {
//!     hub.subscribe_to("orders").resume(last).view(move |item| match item {
//!         Ok(order) => {
//!             let is_own = order.data.split(' ').next() == Some(&*user);
//!             is_own.then(|| order.into())
//!         }
//!         Err(gap) => Some(gap.into()),
//!     }).response()
//! }
//! ```
//!
//! You might expect that a client that sees few events keeps an old id and gets a gap when it
//! reconnects. It doesn't, because it also receives the positions of events it doesn't see.
//!
//! The closure also gets [gaps](GapPolicy). Some clients fail at an event name they don't know:
//! send them the gap under a name of their protocol, or return `None` to hide it. To keep the event
//! `start` from such clients too, call [`start_event(false)`](Subscribe::start_event). They then
//! get no positions of hidden events, except at the end of all topics.
//!
//! # Your own ids
//!
//! Say your clients expect ids of your protocol, such as the number of a trade. Tell the hub with
//! [`own_ids`](Subscribe::own_ids) where the id stands in a message. Here, the data of a trade is
//! its number, a symbol and a price:
//!
//! ```
//! use axum::response::IntoResponse;
//! use tower_sse::{LastEventId, hub::Hub};
//!
//! async fn trades(hub: Hub, symbol: String, last: Option<LastEventId>) -> impl IntoResponse {
//!     let trades = hub.subscribe_to("trades").start_event(false);
//!     let trades = trades.own_ids(|trade| Some(trade.data.split(' ').next()?.into()));
//!     trades.resume(last).view(move |item| match item {
//!         Ok(trade) => (trade.data.split(' ').nth(1) == Some(&*symbol)).then(|| trade.into()),
//!         Err(gap) => Some(gap.into()),
//!     }).response()
//! }
//! ```
//!
//! A client that reconnects sends the number it received last and gets what it missed. A
//! client that sees few trades isn't left behind, because it also receives the numbers of hidden
//! trades. With `start_event(false)`, such a number comes as an id alone. Otherwise, some clients
//! get it in an event named `start`. No two messages of a subscription may have the same number.
//!
//! The hub finds a number as long as it keeps the message, by default for at most five minutes.
//! After that, the client gets a gap and then all messages that the hub still has. If your topics
//! can be quiet for longer, choose a longer [age](crate::Retention::age), such as `Duration::MAX`.
//! If the closure captures variables, the hub finds only the [newest
//! numbers](Subscribe::own_ids).
//!
//! At a gap, and while the hub keeps no message, a client can receive an id of the hub, which
//! `resume` accepts too. If your clients can't read such an id, return an event with an id of yours
//! for each gap, such as `Event::new().comment("gap").id(newest)`. Here, `newest` is the number of
//! the last message that the closure got, or before the first message, the request's last event id.
//! With [`ReportAndEnd`](GapPolicy::ReportAndEnd), also call [`since`](Subscribe::since):
//! otherwise, a client that returns with this number gets the same gap again, and its stream ends.
//!
//! ## Messages in a database
//!
//! If your database has all messages, a client never needs a gap. Say the messages are blocks, and
//! clients ask for all blocks after a height. When a client reconnects, it first receives the
//! missed blocks from the database, then new blocks from the hub:
//!
//! ```
//! use futures_util::{StreamExt, stream};
//! use tower_sse::{Event, LastEventId, event::Encoded, hub::{GapPolicy, Hub}};
//! use axum::response::IntoResponse;
//! # struct Database;
//! # impl Database {
//! #     async fn newest_height(&self) -> u64 { 0 }
//! #     async fn blocks_after(&self, _: u64) -> Vec<(u64, String)> { Vec::new() }
//! # }
//!
//! fn block(height: u64, data: &str) -> Event {
//!     Event::new().event("block").id(height).data(data)
//! }
//!
//! async fn blocks(hub: Hub, database: Database, last: Option<LastEventId>) -> impl IntoResponse {
//!     let position = hub.position(); // before the query
//!     let mut height = match last.and_then(|last| last.as_str().parse().ok()) {
//!         Some(height) => height,
//!         None => database.newest_height().await,
//!     };
//!     let missed = database.blocks_after(height).await;
//!     height = missed.last().map_or(height, |(newest, _)| *newest);
//!     let missed = missed.into_iter().map(|(height, data)| Encoded::from(block(height, &data)));
//!     let blocks = hub.subscribe_to("blocks").gap_policy(GapPolicy::ReportAndEnd);
//!     let new = blocks.since(position).start_event(false).resume(None).view(move |item| {
//!         let message = item.ok()?; // no event for a gap: the stream ends
//!         let (own, data) = message.data.split_once(' ')?;
//!         let own = own.parse().ok().filter(|own| *own > height)?; // not one of the missed
//!         height = own;
//!         Some(block(own, data))
//!     });
//!     tower_sse::response(stream::iter(missed).chain(new))
//! }
//! ```
//!
//! Commit each block before you publish it, as in [State in a database](#state-in-a-database), and
//! publish blocks in the order of their heights. Here, the data that you publish is the height, a
//! space and the block.
//!
//! `start_event(false)` keeps the view from sending ids of the hub. At a gap, the stream ends
//! without an event, and the client reconnects with its newest height. The database has what the
//! hub has evicted or lost. A view that sends an event for the gap must set the event's id too. A
//! restart of your process loses no block either.
//!
//! # Memory
//!
//! By default, a topic's limits are 1,024 events, 1 MiB of events, and 5 minutes. A topic's old
//! events are evicted [when you publish or subscribe](crate::Retention::age), not by a timer. All
//! topics together are limited to 64 MiB of memory, as [`max_memory`](HubBuilder::max_memory)
//! counts it. To change these limits, use a [builder](HubBuilder).
//!
//! Choose an age that is longer than clients usually stay disconnected. The default age covers a
//! deployment, but not a sleeping laptop. Topics that keep [only the newest
//! value](#only-the-newest-value) have no age limit.
//!
//! A busy topic can need more [events](crate::Retention::events) and
//! [bytes](crate::Retention::bytes) too. At 100 events a second, 1,024 events are those of the last
//! 10 seconds. An `EventSource` can wait that long [after a
//! shutdown](crate::guide::shutdown#reconnection-storms), and a restart adds to it.
//!
//! 64 MiB hold about 90,000 topics with one small event each. Beyond that, an event in a new topic
//! evicts an event of another topic. Clients that missed the evicted event get a gap.
//!
//! The hub keeps no queue per client, and a slow client doesn't delay others. A client that is
//! behind gets several events of a topic in one frame, which the topic caches for other clients.
//! Events can still wait in the buffers of a slow client's connection. To limit this, set
//! [`TCP_NOTSENT_LOWAT`](crate::guide::proxies#sockets).
//!
//! # Large events and binary data
//!
//! Encode binary data as base64. For large data, publish a URL that your page fetches.
//!
//! An event's data can have up to 1 MiB, in every hub. For larger data, `publish` returns
//! [`TooLarge`](PublishError::TooLarge). Brokers can have other limits too.
//! [Decoders](crate::decode::Decoder::max_event_size) and [filters](crate::filter) accept 1 MiB per
//! event by default. Some [clients] read at most 64 KiB, and two Go clients request a larger event
//! again and again.
//!
//! [clients]: https://docs.rs/crate/tower-sse/latest/source/docs/clients.md
//!
//! # Many processes
//!
//! A hub from [`Hub::new`] lives in one process. A client that reconnects after a restart, or to
//! another process, can't resume. With a [broker] and [`Hub::connect`], all your processes have the
//! same events with the same ids.
//!
//! | take | for |
//! |---|---|
//! | [`Hub::new`] | one process, whose clients reload their state after a restart, or [newest values](#after-a-restart) |
//! | [SQLite](https://docs.rs/tower-sse-sqlite) | restarts, or several processes on one machine |
//! | [PostgreSQL](https://docs.rs/tower-sse-postgres) | several machines; as with SQLite, you can publish in the same transaction as your data ([compared with Redis](https://docs.rs/tower-sse-postgres/latest/tower_sse_postgres/operating/#postgresql-or-redis)) |
//! | [Redis](https://docs.rs/tower-sse-redis) | several machines, the [most events per second](https://docs.rs/tower-sse-redis/latest/tower_sse_redis/operating/#how-far-it-goes), or [runs](crate::runs#several-processes) |
//!
//! If you'll need several machines later, take PostgreSQL or Redis now. A later switch [gives each
//! client a gap](#what-differs-with-a-broker). The guide's
//! [notifications](crate::guide::notifications) are a whole program for each of them.
//!
//! ## Moving to a broker
//!
//! In the guide's [notifications](crate::guide::notifications#restarts-and-several-processes), only
//! steps 1 and 5 are left.
//!
//! 1. Change the line that creates the hub, and let `main` return `Result<(), Box<dyn Error>>`:
//!    connecting can fail with the broker's error.
//! 2. Replace [`publish_now`](Hub::publish_now) with [`publish`](Hub::publish). With a broker,
//!    `publish_now` still compiles, but always returns an error.
//! 3. Give all your hubs the same [retention](HubBuilder::retention) and [memory
//!    limit](HubBuilder::max_memory), and their brokers the same `max_events`. Otherwise, a client
//!    that moves to another process can get a gap for events that its first process still keeps.
//! 4. To end a user's streams in all processes, use
//!    [`Streams::follow`](crate::streams#many-processes).
//! 5. In the first deployment with the broker, move all requests to new processes at once, then
//!    stop the old ones: with nginx, change the upstream and reload; on Kubernetes, add a second
//!    Deployment and switch the Service. An old and a new process share neither events nor log-outs.
//!
//! ## What differs with a broker
//!
//! - After the first deployment, each client that returns [gets a gap](Subscribe::resume) for each
//!   topic except [newest values](#only-the-newest-value), because its id is from another hub.
//! - Publishing can fail with [`PublishError::Unknown`]: the event may have been published. If you
//!   publish it again, clients may get it twice. If its data has a unique key, they can ignore the
//!   second copy.
//! - *At most once* has exceptions: see the broker's crate. If a broker loses events, all clients
//!   can get a gap at the same time. If your page reloads its state at a gap, have it wait for a
//!   random time first, such as up to 10 seconds.
//! - Some values count only the subscriptions or streams of one process: [`Receipt::subscribers`],
//!   [`Hub::subscriber_count`] and [limits for each
//!   subject](crate::streams#limits-for-each-subject). [`Hub::topics`] lacks topics without events
//!   that have subscriptions only in other processes. To count streams in all processes, use [this
//!   recipe](crate::streams#counts-of-all-processes).
//!
//! # Stopping work
//!
//! A request to stop a job can arrive at a process that doesn't run the job. Publish the request to
//! a topic such as `stop:7`, to which the job's task subscribes:
//!
//! ```
//! use futures_util::StreamExt;
//! use tower_sse::hub::Hub;
//! # async fn next_part() -> String { String::new() }
//!
//! async fn work(hub: Hub, job: u64) {
//!     let topic = format!("job:{job}");
//!     let mut stops = hub.subscribe_to(format!("stop:{job}")).resume(None).messages();
//!     for _ in 0..100 {
//!         tokio::select! {
//!             part = next_part() => { _ = hub.publish(&topic, part).await }
//!             Some(Ok(_)) = stops.next() => break,
//!         };
//!     }
//!     // End the topic, as above.
//! }
//! ```
//!
//! The loop misses requests that were published before the task subscribed, and requests that were
//! lost at a gap. If you can't afford to lose a request, store it in your database before you
//! publish it. Have the task look there after subscribing, and after each gap.
//!
//! # Authorization
//!
//! The hub doesn't authenticate clients. If your handler takes topics from a request, check that
//! the client may read them, or [derive them](crate::guide::authentication) from the logged-in
//! user. Clients that choose topic names can create any number of topics.
//!
//! Clients can tell from the ids how many events you publish. With Redis, the ids instead show when
//! each event was published.

// A `publish` call goes from `hub.rs` to `append.rs`. With a broker, it goes through `link.rs` to
// the broker, which feeds the event through `broker.rs` to `append.rs`:
//
// | `hub.rs`, `builder.rs` | `Hub`, its methods, and its options |
// | `append.rs` | `HubState`: how events and losses are appended, and how the hub closes |
// | `changes.rs` | which topics have changed, so that subscriptions look only at these |
// | `losses.rs` | the losses that a broker reports |
// | `topic/` | each topic's log and end, the eviction of events, and removed topics |
// | `subscription/` | one client: its start, what it reads next, its gaps |
// | `link.rs`, `broker.rs` | what a hub sends to a broker, and the broker's interface |
// | `receipt.rs`, `stats.rs` | what a publisher and an operator see |
// | `closes.rs` | `Streams::follow`, which closes streams in all processes through a hub |

mod append;
pub mod broker;
mod builder;
mod changes;
mod closes;
mod hub;
mod link;
mod losses;
mod receipt;
pub(crate) mod retention;
mod stats;
mod subscription;
mod topic;

#[cfg(feature = "testing")]
pub(crate) use self::append::HubState;
pub use self::builder::HubBuilder;
pub use self::hub::{Hub, IntoEvent};
pub use self::receipt::{PublishError, Receipt};
pub use self::stats::{GapReason, HubStats};
pub use self::subscription::{Gap, GapPolicy, Messages, Subscribe, Subscription, TopicNames, View};

#[doc(hidden)]
pub mod __private {
    // The brokers' crates use these functions too.
    pub use crate::callback::{caught, without_panic};
    pub use crate::wake::catching_wakes;
    pub use crate::{error::with_causes, lock::lock};
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use std::mem::size_of;

    use super::{Subscription, topic::Topic};
    use crate::layer::EventBody;

    #[test]
    fn subscription_and_topic_hold_as_much_as_is_written_here() {
        let body = size_of::<EventBody<Subscription>>();
        assert_eq!([body, size_of::<Subscription>(), size_of::<Topic>()], [240, 160, 312]);
    }
}
