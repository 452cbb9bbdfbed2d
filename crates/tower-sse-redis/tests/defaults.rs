//! The documented defaults are those of the code.

use std::{fmt::Debug, time::Duration};

use tower_sse_redis::Redis;

#[path = "../../../tests/support/documented.rs"]
mod documented;

use documented::Documented;

fn documented() -> Documented {
    Documented::read(&["src", "docs", "README.md"])
}

fn redis() -> Redis {
    Redis::open("redis://127.0.0.1/").unwrap()
}

/// Asserts that the options have this value.
#[track_caller]
fn assert_has(options: &impl Debug, field: &str, value: &dyn Debug) {
    let (options, expected) = (format!("{options:?}"), format!(" {field}: {value:?}"));
    let rest = options.split_once(&expected).map(|(_, rest)| rest);
    assert!(rest.is_some_and(|rest| rest.starts_with([',', ' '])), "no{expected} in {options}");
}

#[test]
fn brokers_have_the_limits_of_the_pages() {
    let (pages, broker) = (documented(), redis().broker("key"));
    let events =
        pages.count(&["The default is {} events, which is roughly", "by default {} events:"]);
    assert_has(&broker, "max_events", &events);
    let deadline = pages.time(&[
        "including the wait for a connection. The default is {}.",
        "by default {}: how long publishing an event may take",
    ]);
    assert_has(&broker, "publish_deadline", &deadline);
    let timeout = pages.time(&[
        "and to answer a command. The default is {}.",
        "by default {}: how long Redis may take to answer",
    ]);
    assert_has(&redis(), "timeout", &timeout);
}

#[cfg(feature = "runs")]
#[test]
fn leases_are_those_of_the_pages() {
    let pages = documented();
    let lease = pages.time(&["can declare the run dead. The default is {}."]);
    assert_has(&redis().runs("app"), "lease", &lease);
    // The page lists the parts of this sum.
    let lost_after = |check: Duration| lease + check + lease / 4;
    let late = (3 * lease / 8).max(Duration::from_millis(1_500));
    let sum = pages.time(&["With the default, the sum is {}, or"]);
    assert_eq!(sum, lost_after(late));
    let sum = pages.time(&["seconds, or {} if the other process connected"]);
    assert_eq!(sum, lost_after(lease));
    let recently = pages.time(&["if the other process connected less than {} ago."]);
    assert_eq!(recently, 2 * lease);
}
