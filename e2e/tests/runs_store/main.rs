//! The scripts of runs of several processes, against a real Redis server.

#![cfg(unix)]

mod check;
mod claim;
mod clocks;
mod cost;
mod end;
mod eternal_keys;
mod fence;
mod holes;
mod replace;
#[path = "../redis/server.rs"]
#[allow(dead_code)]
mod server;
mod store;
#[path = "../../../tests/support/mod.rs"]
mod support;
mod sync;

use support::PATIENCE;

use {
    eternal_keys::assert_no_eternal_keys,
    server::Server,
    store::{DATA, END_ID, EVERYONE, GRACE, HEAD, LEASE, RESTORE, Store, Sync, channel},
};
