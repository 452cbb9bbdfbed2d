//! The documented defaults are those of the code.

use std::fmt::Debug;

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

#[track_caller]
fn assert_has(options: &impl Debug, field: &str, value: &dyn Debug) {
    let (options, expected) = (format!("{options:?}"), format!(" {field}: {value:?}"));
    let rest = options.split_once(&expected).map(|(_, rest)| rest);
    assert!(rest.is_some_and(|rest| rest.starts_with([',', ' '])), "no{expected} in {options}");
}

#[test]
fn brokers_have_the_limits_of_the_pages() {
    let (pages, broker) = (documented(), redis().broker("key"));
    let events = pages.count(&[
        "The default is {} events, which is roughly",
        "for the whole stream, by default {} events)",
    ]);
    assert_has(&broker, "max_events", &events);
    let deadline = pages.time(&[
        "including the wait for a connection. The default is {}.",
        "within the [`publish_deadline`], by default {}:",
    ]);
    assert_has(&broker, "publish_deadline", &deadline);
    let timeout = pages.time(&[
        "and to answer a command. The default is {}.",
        "raise its [`timeout`], by default {}, and",
    ]);
    assert_has(&redis(), "timeout", &timeout);
}

#[cfg(feature = "runs")]
#[test]
fn leases_are_those_of_the_pages() {
    let pages = documented();
    let lease = pages.time(&["that shows no sign of life counts as dead. The default is {}."]);
    assert_has(&redis().runs("app"), "lease", &lease);
    let moved = pages.time(&["takes more than two leases, by default {}, the responses"]);
    assert_eq!(moved, 2 * lease);
    let restored = pages.range(&["one to one and a half leases, by default {}, requests"]);
    assert_eq!(restored, (lease, 3 * lease / 2));
}
