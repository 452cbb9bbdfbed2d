//! Does the hard part of writing a broker for [`tower_sse`]: it follows a log, and notices lost
//! events.
//!
//! A [broker](tower_sse::hub::broker) carries a hub's events between processes. If your broker
//! keeps the events in a log on a server, for example in a database table, implement [`Log`]. Its
//! methods connect to the log, read it, wait for entries, and [mark
//! losses](#which-losses-are-marked). [`follow`] then does much of [what a broker must
//! do](tower_sse::hub::broker::Broker#what-a-broker-must-do):
//!
//! - It loads the history before the hub is ready, in pages that adapt to the connection's speed.
//!   It reports older events as lost, so a client that missed one receives a gap when it resumes.
//! - It starts each read at the last entry that it has read. That's how it notices that the log was
//!   trimmed, lost or restored from a copy, even while nothing is published.
//! - If only this process has missed events, it reports the loss to its hub. If the log itself has
//!   lost events, `follow` adds a mark to it instead.
//! - To find lost events, it looks in the log for each event that the server has acknowledged.
//! - If the connection breaks, it reconnects while publishers wait.
//!
//! [`Queue`] collects events from concurrent calls, and publishes them in batches. [`Gate`] holds
//! publishers back until the process has caught up, and records which events the server has
//! acknowledged. [`Health`] is for readiness probes and metrics. [`CredentialsProvider`] asks the
//! program for [`Credentials`] that change at run time.
//!
//! The [kit](https://docs.rs/tower-sse-broker/latest/tower_sse_broker/testing/) (feature `testing`)
//! tests any broker, even one that does not use the rest of this crate.
//!
//! # An example
//!
//! This broker keeps its log in an in-memory list, which stands in for a server. It passes the kit.
//! For a broker that uses a real store, read the source of
//! [`tower-sse-sqlite`](https://docs.rs/tower-sse-sqlite).
//!
//! ```
#![doc = include_str!("../docs/list_broker.rs")]
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let broker = ListBroker { name: "news".to_owned(), server: Server::default() };
//! # let hub = tower_sse::hub::Hub::connect(broker).await?;
//! # hub.publish("news", "hello").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What a log needs
//!
//! 1. **Numbers** above zero. A new entry has a higher number than any entry that processes can
//!    already read. If the log is lost, the new log must begin above all numbers of the lost one:
//!    take the first number from the clock.
//! 2. **Fingerprints**: a hash of the entry, or a random number stored with it, such as
//!    [`Queued::nonce`]. A server that has returned to an older state can assign the same numbers
//!    again, but not with the same fingerprints.
//! 3. **Marks**: entries that mean "events before this entry may be lost". Each process reports the
//!    loss when it reads the mark. If a log is empty, [`Log::open`] adds a mark.
//! 4. **Trimming from the beginning**, which never removes the newest entry.
//! 5. **A time limit for each request** to the server, and another limit for publishing an event.
//!
//! # Which losses are marked
//!
//! The task of [`follow`], the follower, reads each page starting at the last entry that it has
//! read. If the page begins with that entry, nothing is missing. Otherwise, the follower asks
//! whether the log still [has entries](Log::has_up_to) up to that entry's number. If not, it also
//! asks whether the log [was trimmed](Log::was_trimmed):
//!
//! | The log has | What has happened | Which processes have lost events |
//! |---|---|---|
//! | the last entry's number or lower | it is in an older state, or that entry was deleted | all |
//! | only higher numbers, `was_trimmed` is `true` | it was trimmed | only this one |
//! | only higher numbers, `was_trimmed` is `false` | an older state may have replaced it | all |
//! | no entries, `was_trimmed` is `false` | it was lost | all |
//! | no entries, `was_trimmed` is `true` | it was trimmed to nothing | see below |
//!
//! If the log was trimmed to nothing, the follower connects again. If the log is still empty,
//! [`Log::open`] adds a mark. Otherwise, another process has published meanwhile, and each process
//! reports the loss before that event.
//!
//! If all processes have lost events, the follower ends the session, connects again, and adds a
//! [mark](Log::mark) before this process publishes again. An acknowledged event is also lost for
//! all processes if no entry has its number and fingerprint.
//!
//! In these cases, a process may not notice a loss:
//!
//! - The log returns to an older state, and no process that knew of newer entries adds a mark.
//! - [`was_trimmed`](Log::was_trimmed) returns `true` although an older state replaced the log.
//! - Entries are deleted from the middle of the log before a process reads them, and
//!   [`previous`](LogEntry::previous) returns `None`.

#![warn(clippy::unused_async)]
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]
#![cfg_attr(test, allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used))]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code, unused_imports, unused_variables))))]

#[macro_use]
mod trace;

mod credentials;
mod follower;
mod gate;
mod health;
mod ledger;
mod log;
mod pace;
mod queue;
#[doc(hidden)]
pub mod tasks;
#[cfg(feature = "testing")]
pub mod testing;

pub use crate::credentials::{Credentials, CredentialsProvider};
pub use crate::gate::{Gate, InFlight, Session};
pub use crate::health::{Health, with_sources};
pub use crate::log::{Content, Identity, Known, Log, LogEntry, Page, event_of};
pub use crate::queue::{Queue, Queued, SendBatch};
pub use crate::{follower::follow, pace::Backoff};
