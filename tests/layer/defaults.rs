//! The defaults that the pages state are those of the code, and the programs that users copy shut
//! down on signals.

use crate::{documented::Documented, rig::*, *};

fn documented() -> Documented {
    Documented::read(&["src", "docs/guide", "README.md"])
}

#[tokio::test(start_paused = true)]
async fn heartbeats_are_those_of_the_pages() {
    const LINE: &str = ": ";
    let with_line = format!("comment line `{LINE}` after {{}} without a byte");
    let interval = documented().time(&[
        "The default is a comment line after {}. A",
        "a heartbeat after {} without a byte",
        &with_line,
    ]);
    let (_feed, mut body) = fed(&SseLayer::new());
    idle(&mut body, interval - MILLISECOND).await;
    // A heartbeat is at most a sixteenth of the interval late.
    idle(&mut body, interval / 16 + MILLISECOND).await;
    assert_polls(&mut body, [Polled::Data(format!("{LINE}\n").into()), Polled::Pending]);
}

#[test]
fn reconnection_times_are_those_of_the_pages() {
    let pages = documented();
    let (min, max) = pages.range(&[
        "By default, each client gets a random time from {}. ",
        "By default, each client gets a random reconnection time from {}. ",
    ]);
    let retry = Retry::between(min, max);
    assert_eq!(Drain::default(), Drain::per_client().retry(retry));
    assert_eq!(Refusal::per_client(), Refusal::per_client().retry(retry));

    let (min, max) = pages.range(&[
        "With [`too_many_requests`](Self::too_many_requests), the default is {}. ",
        "or {} at the [limit of a user]",
    ]);
    let later = Retry::between(min, max);
    let refusal = format!("{:?}", Refusal::too_many_requests());
    let expected = format!("retry: {later:?}, retry_of_call: {retry:?}");
    assert!(refusal.contains(&expected), "{refusal}");
}

#[tokio::test(start_paused = true)]
async fn streams_start_with_a_time_of_the_range_of_the_pages() {
    let (min, max) = documented().range(&[
        "the stream of an `EventSource` starts with a random reconnection time from {}. Streams",
    ]);
    let layer = SseLayer::new();
    let mut times = BTreeSet::new();
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
        let mut rig = Rig::starting(layer.clone(), Requester::EventSource);
        let Polled::Data(mut line) = rig.poll() else { panic!("no time") };
        assert_eq!(rig.poll(), Polled::Pending);
        let mut decoder = Decoder::new();
        assert_eq!(decoder.decode(&mut line).unwrap(), None);
        times.insert(decoder.retry().expect("a time"));
    }
    assert!(times.iter().all(|time| (min..=max).contains(time)), "{times:?}");
    assert!(times.len() > 500, "only {} different ones", times.len());
    let (tenth, first, last) = ((max - min) / 10, times.first().unwrap(), times.last().unwrap());
    assert!(*first < min + tenth && *last > max - tenth, "{first:?} to {last:?}");
}

#[test]
fn answers_to_calls_have_the_grace_of_the_pages() {
    let grace = documented()
        .time(&["may take up to {} more seconds", "beyond the maximum age. The default is {}."]);
    assert_eq!(Drain::default(), Drain::per_client().grace(grace));
    let max_age = MaxAge::new(SECOND);
    assert_eq!(max_age, max_age.clone().grace(grace));
}

async fn assert_fails_after(patience: Duration, drain: Drain) {
    let mut rig = Rig::draining(b"data: a\n", layer(drain), Requester::EventSource);
    rig.idle(patience - MILLISECOND).await;
    rig.idle(2 * MILLISECOND).await;
    assert_eq!(rig.poll(), data(RETRY));
}

#[tokio::test(start_paused = true)]
async fn source_that_stays_mid_event_has_the_time_of_the_pages() {
    let pages = documented();
    let patience = pages.time(&[
        "finish the event it has begun, the body fails after {}. A",
        "finish the event it has begun, the body fails after {}. With",
    ]);
    assert_fails_after(patience, Drain::default()).await;
    let patience = pages.time(&["With `at_once`, it fails after {}. In both"]);
    assert_fails_after(patience, Drain::at_once()).await;
}

#[test]
fn clients_accept_events_up_to_the_size_of_the_pages() {
    let limit = documented()
        .bytes(&["accepts events of up to {}.", "[filters](crate::filter) accept {} per event"]);
    let decodes = |size: usize| {
        let event = format!("data: {}\n\n", "x".repeat(size - "data: \n\n".len()));
        let mut event = Bytes::from(event);
        matches!(Decoder::new().decode(&mut event), Ok(Some(_)))
    };
    // The empty line at the event's end need not count.
    assert!(decodes(limit));
    assert!(!decodes(limit + "\n".len() + 1));
}

#[cfg(feature = "hub")]
mod of_hubs {
    use tower_sse::Retention;
    use tower_sse::hub::Hub;

    use super::documented;

    #[test]
    fn topics_keep_what_the_pages_say() {
        let pages = documented();
        let events = pages.count(&[
            "topic's limits are {} events, 1",
            "Returns the default limits: {} events, 1",
            " minutes, up to {} events and 1 MiB",
        ]);
        let bytes = pages.bytes(&[" events, {} of events, and", " events, {} and"]);
        let age = pages.time(&[
            " of events, and {}. A",
            " events, 1 MiB and {}.",
            "process keeps the close events of the last {}, up to",
        ]);
        assert_eq!(Retention::new(), Retention::new().age(age));
        let kept = |size: usize, count: usize| {
            let hub = Hub::new();
            let data = "x".repeat(size - "data: \n\n".len());
            (0..count).for_each(|_| _ = hub.publish_now("a", data.as_str()).unwrap());
            hub.stats().events
        };
        assert_eq!(kept(16, events + 1), events);
        // On the wire, an event has more bytes than its data, for example its id.
        assert_eq!([kept(bytes / 4 - 64, 6), kept(bytes / 4, 6)], [4, 3]);
    }

    #[test]
    fn hub_keeps_the_memory_of_the_pages() {
        let limit = documented().bytes(&[
            "topics together are limited to {} of memory",
            "memory of all events and topics to `bytes`. The default is {}.",
        ]);
        let hub = Hub::new();
        let event = "x".repeat(1 << 20);
        for topic in 0..limit / event.len() + 8 {
            hub.publish_now(topic.to_string(), event.as_str()).unwrap();
        }
        let memory = hub.stats().memory;
        assert!(memory <= limit && memory > limit - 2 * event.len(), "{memory} of {limit}");
    }
}

#[cfg(feature = "runs")]
mod of_runs {
    use tower_sse::runs::Runs;

    use super::documented;

    #[test]
    fn runs_have_the_limits_of_the_pages() {
        let builder = format!("{:?}", Runs::builder());
        let pages = documented();
        let has = |field: &str, value: &dyn std::fmt::Debug| {
            let expected = format!("{field}: {value:?}");
            let at =
                builder.find(&expected).unwrap_or_else(|| panic!("no `{expected}` in {builder}"));
            // The value ends behind `expected`.
            assert!(builder[at + expected.len()..].starts_with([',', ' ']), "{builder}");
        };
        let bytes = |phrase| pages.bytes(&[phrase]);
        has("retain_bytes", &bytes("of the events that each run keeps to `bytes`, by default {}."));
        has("max_memory", &bytes("total memory of all runs to `bytes`. The default is {}."));
        let time = |phrase| pages.time(&[phrase]);
        has("retain_for", &time("a run is kept after its end, by default {}."));
        has("abandon_after", &time("(super::Outcome::Abandoned). The default is {}."));
        let count = |phrase| pages.count(&[phrase]);
        has("running", &count("runs may be running at a time. The default is {}, but"));
        let of_owner = "of one owner may be running at a time. The default is {}.";
        has("running_per_owner", &count(of_owner));
    }
}

// The code on the pages and in the examples, which users copy.

fn pages() -> Vec<(String, String)> {
    let pages =
        documented::pages(&["src", "docs/guide", "docs/agents.md", "examples", "README.md"]);
    assert!(pages.len() > 150, "{} files", pages.len());
    pages
}

/// `Extensions::insert` drops the options that were set before.
#[test]
fn no_page_inserts_options_into_a_response() {
    for (path, text) in pages() {
        let text: String = text.split_whitespace().collect();
        assert!(!text.contains(".insert(StreamOptions"), "{path}");
        assert!(!text.contains(".insert(tower_sse::StreamOptions"), "{path}");
    }
}

/// Orchestrators send SIGTERM, which at once ends a process that only waits for ctrl-c.
#[test]
fn programs_wait_for_the_same_signals_and_have_a_deadline() {
    let (mut programs, mut crates) = (0, documented::pages(&["crates"]));
    // `sse-check` is no server: it ends its recording at ctrl-c.
    crates.retain(|(path, _)| !path.starts_with("crates/sse-check"));
    for (path, text) in pages().into_iter().chain(crates) {
        if path.ends_with("src/stop_on_signal.rs") {
            continue;
        }
        let waits = text.contains("stop_on_signal(");
        assert!(!text.contains("ctrl_c()"), "{path} waits for signals in its own way");
        let serves = ["axum::serve(", ".serve_with_incoming"].iter().any(|it| text.contains(it));
        assert!(waits || !serves || !text.contains("fn main()"), "{path} ignores signals");
        if waits {
            programs += 1;
            let is_at_once = text.contains("stop_on_signal(shutdown.clone(), Duration::ZERO)");
            assert!(!is_at_once || text.to_lowercase().contains("deadline"), "{path} has none");
        } else if text.contains(".shutdown(shutdown") {
            let is_drill = path.ends_with("dashboard/src/generation.rs");
            let ends = ["guide::shutdown", "guide::serving", "stop_on_signal("];
            let shows_end = ends.iter().any(|end| text.contains(end));
            assert!(is_drill || shows_end, "{path} shows no end");
        }
    }
    assert_eq!(programs, 39, "28 examples, and the pages and READMEs that show a whole program");
}
