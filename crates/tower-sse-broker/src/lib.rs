//! For writers of brokers of [`tower_sse`].

#![warn(clippy::unused_async)]
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]
#![cfg_attr(test, allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used))]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code, unused_imports, unused_variables))))]

#[macro_use]
mod trace;

mod follower;
mod gate;
mod health;
mod ledger;
mod log;
mod pace;
mod queue;

pub use crate::{
    follower::follow,
    gate::{Gate, InFlight, Session},
    health::{Health, with_sources},
    log::{Content, Identity, Known, Log, LogEntry, Page, event_of},
    pace::Backoff,
    queue::{Queue, Queued, SendBatch},
};
