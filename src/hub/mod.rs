//! Feature `hub`: publish an event once, and everybody gets it who subscribes to its topic, also who comes
//! back later.
//!
//! ```
//! use axum::{Router, extract::State, response::IntoResponse, routing::get};
//! use tower_sse::{Event, LastEventId, SseLayer, hub::Hub};
//!
//! # #[cfg(feature = "axum")]
//! async fn events(State(hub): State<Hub>, last: Option<LastEventId>) -> impl IntoResponse {
//!     tower_sse::response(hub.subscribe(["news"]).recent(10).resume(last))
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
//! println!("{} for {} subscribers", receipt.id(), receipt.subscribers());
//! # Ok(())
//! # }
//! ```
//!
//! # Topics
//!
//! They are strings, come into being when somebody names them, and go when nothing is left of them. One
//! client is addressed by a topic of its own, everybody by one that all subscribe to, groups by others: to
//! send to one, to some or to all is the same method.
//!
//! ```
//! # use tower_sse::{Event, hub::Hub};
//! # fn run(hub: Hub, last: Option<tower_sse::LastEventId>) -> Result<(), tower_sse::hub::PublishError> {
//! let stream = hub.subscribe(["all", "room:kitchen", "client:42"]).resume(last);
//!
//! _ = hub.publish_now("client:42", Event::from("to one"))?;
//! _ = hub.publish_now("room:kitchen", Event::from("to some"))?;
//! _ = hub.publish_now("all", Event::from("to all"))?;
//! # drop(stream);
//! # Ok(())
//! # }
//! # run(Hub::new(), None).unwrap();
//! ```
//!
//! # Order, and resumption
//!
//! All topics of a hub have one order, and the hub gives the ids: one `Last-Event-ID` is enough for a
//! connection that follows many topics. A subscription [resumes](Subscribe::resume) strictly after it:
//! what was published meanwhile, and what is published from then on, is one sequence without loss, double
//! or disorder.
//!
//! What is no longer kept cannot be given. That is said, as an event `gap` whose data is the topic: whenever a client
//! has missed something, and where the hub cannot know, as after an id of another hub; see [`GapPolicy`].
//!
//! A client that has got nothing yet has no id to come back with. Where that can be, as with topics of single clients, give it
//! a [greeting](Subscribe::greeting).
//!
//! # What is kept
//!
//! By default 1,024 events, 1 MiB and 5 minutes of every topic, and what takes 64 MiB of memory in all
//! topics; see [`HubBuilder`] and [`Retention`].
//!
//! No client has a queue, so one that is slow or stalled delays no other. Subscribers that are behind are
//! given frames of up to 16 KiB, and those that need the same events share the same bytes. The hub keeps the
//! newest 16 frames of a topic; every other frame is shared for as long as the server holds it for one of its
//! clients, hyper up to 16 for each.
//!
//! # Names, and who may subscribe
//!
//! The hub does not know who asks: a handler that takes topics from a request has to check them. Everybody
//! who may name a topic can bring one into being. Ids count the events of the whole hub, which clients can read off them.

#[cfg(tower_sse_loom)]
mod broken;
mod builder;
mod cursor;
mod deferred_drops;
mod flush_window;
mod frames;
mod gap;
#[allow(clippy::module_inception)]
mod hub;
mod keepers;
mod log;
mod opening;
mod position;
mod publish;
mod registry;
mod retention;
mod sleep;
mod subscribe;
mod subscription;
mod sync;
mod taken;
mod tombstones;
mod topic;
mod upcoming;
mod waiters;

#[cfg(tower_sse_loom)]
pub use self::broken::Broken;
pub use self::{
    builder::HubBuilder,
    gap::GapPolicy,
    hub::Hub,
    publish::{PublishError, Receipt},
    retention::Retention,
    subscribe::Subscribe,
    subscription::Subscription,
};
