use std::collections::BTreeSet;

use super::{SECOND, full};
use crate::*;

/// Returns the `retry-after` of a refused client, and what it receives.
fn refused(refusal: Refusal) -> (Option<String>, Polled) {
    let (layer, _kept) = full(refusal);
    let response = through(&layer, event_stream(Feed::new().1));
    let after =
        response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    (after, poll_frame(&mut response.into_body()))
}

#[test]
fn retry_after_rounds_up_to_seconds_and_retry_lines_are_milliseconds() {
    for (milliseconds, seconds) in
        [(0, "0"), (1, "1"), (999, "1"), (1000, "1"), (1001, "2"), (2500, "3"), (60_000, "60")]
    {
        let retry = || Retry::fixed(Duration::from_millis(milliseconds));
        let unavailable = refused(Refusal::unavailable().retry(retry()));
        assert_eq!(unavailable, (Some(seconds.to_owned()), Polled::End), "{milliseconds} ms");
        let line = Polled::Data(format!("retry: {milliseconds}\n").into());
        assert_eq!(refused(Refusal::retry_later().retry(retry())), (None, line));
    }
    let (after, _) = refused(Refusal::unavailable().retry(Retry::fixed(Duration::MAX)));
    assert!(after.unwrap().parse::<u64>().is_ok());
}

#[test]
fn without_a_reconnection_time_none_is_sent() {
    for refusal in [Refusal::unavailable(), Refusal::retry_later()] {
        let name = format!("{refusal:?}");
        assert_eq!(refused(refusal.without_retry()), (None, Polled::End), "{name}");
    }
}

/// Clients that were refused together must not return together.
#[test]
fn every_client_gets_a_reconnection_time_of_its_own() {
    let refusal = Refusal::unavailable().retry(Retry::between(3_001 * MILLISECOND, 6 * SECOND));
    let drawn: BTreeSet<_> = (0..400).filter_map(|_| refused(refusal.clone()).0).collect();
    assert!(drawn.iter().map(String::as_str).eq(["4", "5", "6"]), "{drawn:?}");

    // In milliseconds, from the default range.
    let sent_time = |layer: &SseLayer| -> u64 {
        let response = through(layer, event_stream(Feed::new().1));
        if let Some(seconds) = response.headers().get("retry-after") {
            return 1000 * seconds.to_str().unwrap().parse::<u64>().unwrap();
        }
        let Polled::Data(line) = poll_frame(&mut response.into_body()) else { panic!("no time") };
        let line = str::from_utf8(&line).unwrap();
        line.strip_prefix("retry: ").unwrap().trim_end().parse().unwrap()
    };
    for refusal in [Refusal::retry_later(), Refusal::unavailable()] {
        let (layer, _kept) = full(refusal.clone());
        let drawn: BTreeSet<_> = (0..400).map(|_| sent_time(&layer)).collect();
        assert!(drawn.iter().all(|time| (2_000..=10_000).contains(time)), "{drawn:?}");
        assert!(drawn.len() >= 8, "{refusal:?}: {drawn:?}");
        assert!(*drawn.first().unwrap() < 4_000 && *drawn.last().unwrap() > 8_000, "{drawn:?}");
    }
}
