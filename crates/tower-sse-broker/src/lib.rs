//! Your processes share a database for which [`tower_sse`] has no broker, so you're writing one.
//! This crate does the hard part: it follows a log, and notices lost events.
//!
//! Keep a hub's events in a log on the database server, for example in a table, and implement
//! [`Log`] to read, mark and trim it. [`follow`] then does much of [what a broker must
//! do](tower_sse::hub::broker::Broker#what-a-broker-must-do). It loads the history before the hub
//! is ready. It notices if the log has been trimmed, lost or restored from a copy, even while
//! nothing is published. If the connection breaks, it reconnects while publishers wait.
//!
//! If a process has missed events that others could read, its `follow` reports the loss to its hub.
//! If the log itself has lost events, `follow` adds a [mark](#which-losses-are-marked) to the log
//! instead, and every process reports the loss. Clients that may have missed events receive a gap.
//!
//! [`Queue`] collects events that are published at the same time, and passes them in batches to
//! your [`SendBatch`]. [`Gate`] holds publishers back until the process has caught up, and records
//! which events the server has acknowledged. [`Health`] is for readiness probes and metrics.
//! [`CredentialsProvider`] asks the program for [`Credentials`] that change at run time.
//!
//! With the [test kit](https://docs.rs/tower-sse-broker/latest/tower_sse_broker/testing/) (feature
//! `testing`), you can test any broker, even one that doesn't use the rest of this crate.
//!
//! # An example
//!
//! This broker's log is an in-memory list, which stands in for a server. It passes the kit. For an
//! example with a real store, read the source of
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
//! Your server and your code together must provide:
//!
//! 1. **Numbers** above zero. A new entry's number is higher than any that processes can already
//!    read, even if transactions commit out of order. A new log must begin above all numbers of a
//!    lost one: take the first number from the clock.
//! 2. **Fingerprints**: a hash of the entry, or a random number stored with it, such as
//!    [`Queued::nonce`]. A server that has returned to an older state can assign numbers again, but
//!    not with the same fingerprints.
//! 3. **Marks**: entries that mean "events before this entry may be lost". Each process reports the
//!    loss when it reads the mark.
//! 4. **Trimming from the beginning**, which never removes the newest entry.
//! 5. **Time limits** for each request, and for publishing an event.
//!
//! # Which losses are marked
//!
//! The follower (the task of [`follow`]) begins each read with the last entry that it has read. If
//! that entry isn't there, your [`has_up_to`](Log::has_up_to) and [`was_trimmed`](Log::was_trimmed)
//! show why:
//!
//! | The log has | What has happened | Which processes have lost events |
//! |---|---|---|
//! | the last entry's number or lower | it is in an older state, or that entry was deleted | all |
//! | only higher numbers, `was_trimmed` is `true` | it was trimmed | only this one |
//! | only higher numbers, `was_trimmed` is `false` | an older state may have replaced it | all |
//! | no entries | it was lost, or trimmed to nothing | all |
//!
//! An acknowledged event whose number and fingerprint aren't in the log is lost for all processes
//! too, unless it was trimmed.
//!
//! If all processes have lost events, the log gets a [mark](Log::mark) before this process
//! publishes again. A log that was trimmed to nothing gets none if another process has published an
//! event meanwhile. Each process then reports the loss before that event.
//!
//! A process may miss a loss in these cases:
//!
//! - The log returns to an older state, and no process that knew of newer entries adds a mark.
//! - [`was_trimmed`](Log::was_trimmed) returns `true` although an older state replaced the log.
//! - Entries are deleted from the middle before a process reads them, and
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
