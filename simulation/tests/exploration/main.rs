//! Explores every reachable state of an abstract model of shared runs, within bounds: one key, two
//! processes, up to three runs of the key, each with its own epoch, two events a run, and up to two
//! faults of Redis, connections or owners.
//!
//! - `redis` models `claim.lua`, `sync.lua` and `end.lua` in
//!   `crates/tower-sse-redis/src/runs/store/lua/` without times, channels and versions: a process
//!   can count as dead at any time, and every message can be lost.
//! - `owner` models the exporter in `crates/tower-sse-redis/src/runs/cluster/owner/export.rs`, and
//!   a client at another process.
//! - `protocol` has the state of the model, and `steps` collects the steps that lead from it.
//! - `explore` visits the states breadth first and reports the shortest trace to a violation.
//!
//! The model needs no other crate and no `--cfg`. Run it with `cargo test --release --package
//! tower-sse-simulation --test exploration`.

// Without optimisation, the exploration takes more than a minute.
#![cfg(not(debug_assertions))]

mod explore;
mod owner;
mod protocol;
mod redis;
mod steps;

use std::collections::HashMap;

use explore::{Explored, explore};
use protocol::{Bounds, Claim, Client, Data, EVENTS, Lease, Outcome, Phase, Protocol, Run, State};

#[test]
fn no_state_breaks_a_promise() {
    finds_nothing(Bounds { epochs: 2, faults: 1 });
    finds_nothing(Bounds { epochs: 3, faults: 0 });
}

#[test]
#[ignore = "has millions of states"]
fn no_state_with_another_fault_breaks_a_promise() {
    finds_nothing(Bounds { epochs: 2, faults: 2 });
    finds_nothing(Bounds { epochs: 3, faults: 1 });
}

fn finds_nothing(bounds: Bounds) {
    let Explored { states, steps, violation } = explore(Protocol::AS_BUILT, bounds);
    println!("{bounds:?}: {states} states, {steps} steps");
    assert_eq!(violation, None, "{bounds:?}");
    assert!(states > 10_000, "{states} states are too few");
}

#[test]
fn protocol_without_any_one_rule_breaks_a_promise() {
    let whole = Protocol::AS_BUILT;
    let without_voids = Protocol { voids_keep_claims: false, ends_outlive_claims: false, ..whole };
    for (protocol, faults, expected) in [
        (without_voids, 0, "has ended, and is live again"),
        (Protocol { reports_losses: false, ..whole }, 1, "no path to an end"),
        (Protocol { counts_entries: false, ..whole }, 1, "has completed with a hole"),
        (Protocol { doubts_events: false, ..whole }, 2, "has completed with a hole"),
    ] {
        let violation = explore(protocol, Bounds { epochs: 2, faults }).violation;
        let is_expected = violation.as_ref().is_some_and(|it| it.contains(expected));
        assert!(is_expected, "{protocol:?}: not {expected}, but {violation:?}");
    }
}
