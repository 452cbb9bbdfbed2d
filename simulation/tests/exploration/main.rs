//! The protocol of shared runs as an abstract model, and every state that it can reach: one key,
//! two processes, three epochs, two events, and the faults of Redis, of connections and of owners.
//!
//! - `redis` has the scripts of `crates/tower-sse-redis/src/runs/store/lua/` without times, channels and versions: a lease
//!   can end at any time, and every message can be lost.
//! - `owner` is the exporter of `crates/tower-sse-redis/src/runs/cluster/owner/export.rs`, `mirror` a client at another process.
//! - `explore` visits the states breadth first, and reports the shortest trace to a violation.
//!
//! It needs no other crate, so it runs with
//! `cargo test --release --package tower-sse-simulation --test exploration`.

// Without optimisation, it takes more than a minute.
#![cfg(not(debug_assertions))]

mod explore;
mod owner;
mod protocol;
mod redis;
mod steps;

use std::collections::{HashMap, hash_map::Entry};

use explore::explore;
use protocol::{Bounds, Client, Data, EVENTS, Lease, Outcome, Phase, Protocol, Run, State};

/// Two epochs, with this number of faults.
const fn two_epochs(faults: u8) -> Bounds {
    Bounds { epochs: 2, faults }
}

/// Three epochs, with this number of faults.
const fn three_epochs(faults: u8) -> Bounds {
    Bounds { epochs: 3, faults }
}

#[test]
fn no_state_of_two_epochs_and_a_fault_breaks_a_promise() {
    finds_nothing(two_epochs(1));
}

#[test]
fn no_state_of_three_epochs_breaks_a_promise() {
    finds_nothing(three_epochs(0));
}

#[test]
#[ignore = "has millions of states"]
fn no_state_of_two_epochs_and_two_faults_breaks_a_promise() {
    finds_nothing(two_epochs(2));
}

#[test]
#[ignore = "has millions of states"]
fn no_state_of_three_epochs_and_a_fault_breaks_a_promise() {
    finds_nothing(three_epochs(1));
}

fn finds_nothing(bounds: Bounds) {
    let explored = explore(Protocol::AS_BUILT, bounds);
    println!("{} states, {} steps", explored.states, explored.steps);
    if let Some(violation) = explored.violation {
        panic!("{violation}");
    }
    assert!(explored.states > 10_000, "{} states are too few", explored.states);
}

#[test]
fn void_that_deletes_its_claim_revives_an_earlier_run() {
    let protocol =
        Protocol { voids_keep_claims: false, ends_outlive_claims: false, ..Protocol::AS_BUILT };
    finds(protocol, 0, "has ended, and is live again");
}

#[test]
fn owner_without_its_events_must_say_that_they_are_lost() {
    finds(Protocol { reports_losses: false, ..Protocol::AS_BUILT }, 1, "no path to an end");
}

#[test]
fn owner_must_count_entries() {
    finds(Protocol { counts_entries: false, ..Protocol::AS_BUILT }, 1, "has completed with a hole");
}

#[test]
fn owner_must_doubt_events_that_were_not_acknowledged() {
    finds(Protocol { doubts_events: false, ..Protocol::AS_BUILT }, 2, "has completed with a hole");
}

fn finds(protocol: Protocol, faults: u8, expected: &str) {
    let violation = explore(protocol, two_epochs(faults)).violation.expect("a violation");
    println!("{violation}");
    assert!(violation.contains(expected), "{violation}");
}
