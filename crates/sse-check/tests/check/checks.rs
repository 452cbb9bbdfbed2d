//! Each check that needs no `--via`, with servers that pass and with servers that don't.

use std::sync::{OnceLock, atomic::AtomicUsize, atomic::Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{net::SocketAddr, ops::Range};

use futures_util::future::join_all;

use crate::report::{Report, on_a_busy_machine};
use crate::server::*;

async fn look(address: SocketAddr, check: &str, time: &str) -> Report {
    Report::of(&[&format!("http://{address}/events"), "--only", check, "--for", time]).await
}

async fn look_at(check: &str, bytes: impl AsRef<[u8]>) -> Report {
    let address = serve_steps([write(bytes), Step::At(50), Step::End]).await;
    look(address, check, "2s").await
}

async fn look_at_head(check: &str, head: &str) -> Report {
    let head = head.to_owned();
    look(serve(move |_| Answer::with_head(head.clone())).await, check, "2s").await
}

#[tokio::test]
async fn answer_passes_only_for_event_streams() {
    let redirect = "a redirect, which clients follow: check its target, \"/other\"";
    for (head, verdict, text) in [
        ("200 OK\r\ncontent-type: text/event-stream; charset=utf-8", "pass", ""),
        ("200 OK\r\ncontent-type: text/html", "fail", "stops for good"),
        ("503 Busy\r\ncontent-type: text/event-stream", "fail", "503"),
        ("302 Found\r\nlocation: /other", "fail", redirect),
    ] {
        look_at_head("answer", head).await.expect_with("answer", verdict, text);
    }
}

#[tokio::test]
async fn other_checks_need_an_event_stream() {
    let report = look_at_head("headers,lines,end", "404 Not Found").await;
    assert_eq!(report.all("not checked"), ["headers", "end", "lines"]);
}

#[tokio::test]
async fn start_warns_of_late_heads_and_links_to_what_may_hold_them() {
    let early = serve_steps([Step::At(1200), write("data: a\n\n"), Step::End]).await;
    look(early, "start", "20s").await.expect("start", "pass");
    let with_event = ["until the first byte", "it comes only with the first event"];
    let with_event = [&with_event[..], &["tower_sse/early_head/", "--via"]].concat();
    let late = ["it comes later than 10 s", "tower_sse/early_head/"];
    // Each case has the time of the head and, if it differs, that of the first event.
    for (head_at, event_at, texts) in [
        (1_200, None, &with_event[..]),
        (1_200, Some(1_700), &["guide/proxies/#buffers"]),
        (10_200, Some(10_700), &late),
    ] {
        let comment = event_at.map(|at| [write(":\n"), Step::At(at)]);
        let steps = comment.into_iter().flatten().chain([write("data: a\n\n"), Step::End]);
        let steps: Vec<_> = steps.collect();
        let answer = move |_: &Request| Answer { head_at, ..Answer::new(steps.clone()) };
        let report = look(serve(answer).await, "start", "20s").await;
        for text in texts {
            report.expect_with("start", "warning", text);
        }
    }
}

#[tokio::test]
async fn headers_warn_of_caches_codings_and_lengths() {
    let type_ = "content-type: text/event-stream";
    let cases = [
        ("cache-control: no-store\r\nx-accel-buffering: no", "pass", "x-accel-buffering: \"no\""),
        ("cache-control: private, no-cache\r\nincremental: ?1", "pass", "incremental: \"?1\""),
        ("cache-control: max-age=60", "warning", "replay the stream"),
        ("x-test: a", "warning", "replay the stream"),
        ("cache-control: no-cache\r\ncontent-encoding: br", "warning", "compressed by \"br\""),
    ];
    for (headers, verdict, text) in cases {
        let head = format!("200 OK\r\n{type_}\r\n{headers}");
        look_at_head("headers", &head).await.expect_with("headers", verdict, text);
    }
}

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

/// Looks at a stream on which five events come together after 1.5 seconds, and five more after 3,
/// when it ends. `made` returns an event's text, given the stream's start in milliseconds and the
/// event's number.
async fn look_at_held(made: fn(u128, u64) -> String) -> Report {
    let address = serve(move |_| {
        let start = now() + 50;
        let burst = |n: u64| write((0..5).map(|it| made(start, n * 5 + it)).collect::<String>());
        Answer::new([Step::At(1500), burst(0), Step::At(3000), burst(1), Step::End])
    });
    look(address.await, "bursts", "10s").await
}

#[tokio::test]
async fn bursts_of_different_ages_were_held_back() {
    let milliseconds = |start, n| format!("data: {{\"at\": {}}}\n\n", start + u128::from(n) * 300);
    fn in_zone(start: u128, n: u64, hours: i64) -> String {
        let at = i64::try_from(start).unwrap() + n as i64 * 300 + hours * 3_600_000;
        let at = UNIX_EPOCH + Duration::from_millis(at.try_into().unwrap());
        let at = humantime::format_rfc3339_millis(at).to_string();
        format!("data: {}{hours:+03}:00 tick\n\n", at.trim_end_matches('Z'))
    }
    let (east, west) = (|start, n| in_zone(start, n, 2), |start, n| in_zone(start, n, -5));
    for made in [milliseconds as fn(u128, u64) -> String, east, west] {
        look_at_held(made).await.expect_with("bursts", "fail", "over 1.2 s");
    }
}

#[tokio::test]
async fn bursts_of_one_age_pass_and_of_no_age_warn() {
    let together = serve(|_| {
        let burst = format!("data: {}\n\n", now() + 50).repeat(5);
        Answer::new([Step::At(1500), write(burst)])
    });
    look(together.await, "bursts", "4s").await.expect("bursts", "pass");
    let report = look_at_held(|_, n| format!("data: {n}\n\n")).await;
    report.expect_with("bursts", "warning", "--via");
}

#[tokio::test]
async fn many_events_in_one_read_are_no_burst() {
    let hundred: String = (0..100).map(|n| format!("data: {n}\n\n")).collect();
    let steps = (0..20).flat_map(|n| [Step::At(n * 50), write(&hundred)]);
    look(serve_steps(steps).await, "bursts", "2s").await.expect("bursts", "pass");
    let quiet = serve_steps([write("data: a\n\n"), Step::At(1500), write("data: b\n\n")]).await;
    look(quiet, "bursts", "2s").await.expect("bursts", "pass");
}

/// As with an LLM's answer, the first word takes long, and each word has its own time.
#[tokio::test]
async fn steady_events_after_a_gap_are_no_burst() {
    let start = now();
    let word = |n: u64| {
        [Step::At(1200 + n * 25), write(format!("data: {}\n\n", start + u128::from(n) * 25))]
    };
    let steps = (0..50).flat_map(word).chain([Step::End]);
    look(serve_steps(steps).await, "bursts", "4s").await.expect("bursts", "pass");
}

#[tokio::test]
async fn old_events_after_a_gap_are_a_replay() {
    let start = now();
    let events: String = (0..9).map(|n| format!("data: {}\n\n", start - n * 60_000)).collect();
    let steps = [Step::At(1100), write(events)];
    look(serve_steps(steps).await, "bursts", "1500ms").await.expect("bursts", "pass");
}

/// The greeting has no time, so it doesn't show how old the other events are.
#[tokio::test]
async fn old_events_behind_a_greeting_without_a_time_are_a_replay() {
    let start = now();
    let old: String =
        (0..20).map(|n| format!("data: {}\n\n", start - 4_000_000 + n * 100)).collect();
    let steps = [write("event: hello\ndata: you\n\n"), Step::At(1500), write(old)];
    look(serve_steps(steps).await, "bursts", "3s").await.expect("bursts", "pass");
}

/// Events that were made 1.5 to 0.3 s before the request, by a clock that can be wrong.
#[tokio::test]
async fn recent_events_after_a_slow_head_are_a_replay() {
    for (ahead, later) in [(0, None), (7_200_000, None), (100_000, Some(2000))] {
        let address = serve(move |_| {
            let clock = now() + ahead;
            let recent = (1..6).rev().map(|n| format!("data: {}\n\n", clock - n * 300));
            let recent = recent.collect::<String>();
            let live = |at| [Step::At(at), write(format!("data: {}\n\n", clock + u128::from(at)))];
            let live = later.map(live);
            let steps = [write(recent)].into_iter().chain(live.into_iter().flatten());
            Answer { head_at: 1200, ..Answer::new(steps) }
        });
        look(address.await, "bursts", "3s").await.expect("bursts", "pass");
    }
}

#[tokio::test]
async fn silence_counts_heartbeats_and_limits() {
    let steps = (0..9).flat_map(|n| [Step::At(n * 200), write(":\n")]);
    let report = look(serve_steps(steps).await, "silence", "1s").await;
    report.expect_with("silence", "pass", "idle limit of 30 s does not cut");
    let report = look(serve_steps([write("data: a\n\n")]).await, "silence", "1s").await;
    report.expect_with("silence", "pass", "beyond what was watched");
}

/// The program keeps only the stream's first megabytes, and knows nothing about the rest.
#[tokio::test]
async fn silence_and_end_of_a_too_large_stream_are_not_checked() {
    let event = format!("data: {}\n\n", "x".repeat(5 << 20));
    let steps = [write("data: a\n\n"), write(event), Step::At(1500), Step::Cut];
    let report = look(serve_steps(steps).await, "silence,end", "2s").await;
    report.expect_with("silence", "not checked", "only the first");
    report.expect_with("end", "not checked", "only the first");
}

#[tokio::test]
async fn silence_fails_before_a_cut() {
    let cut = serve_steps([write("data: a\n\n"), Step::At(1500), Step::Cut]).await;
    look(cut, "silence", "3s").await.expect_with("silence", "fail", "the stream was cut after 1.");
    let busy = events(0, 9, 200).chain([Step::Cut]);
    look(serve_steps(busy).await, "silence", "3s").await.expect("silence", "pass");
}

#[tokio::test]
async fn end_is_open_clean_cut_or_within_an_event() {
    let open = look(serve_steps([write("data: a\n\n")]).await, "end", "500ms").await;
    open.expect_with("end", "pass", "still open");
    look_at("end", "data: a\n\n").await.expect_with("end", "pass", "cleanly");
    look_at("end", "data: a\n\ndata: b\n").await.expect_with("end", "fail", "within an event");
    let cut = serve_steps([write("data: a\n\n"), Step::At(50), Step::Cut]).await;
    look(cut, "end", "2s").await.expect_with("end", "fail", "cut after");
}

#[tokio::test]
async fn lines_that_all_parsers_read_alike_pass() {
    let fine = [
        "data: a\n\n",
        "data:a\r\nid:1\r\n\r\n",
        ": comment\ndata: a\nretry: 500\n\n",
        "event\ndata\n\n",
        "retry: 5\n:\n",
        "data: ü\ndata: b\n\n",
    ];
    for report in join_all(fine.map(|bytes| look_at("lines", bytes))).await {
        report.expect("lines", "pass");
    }
}

#[tokio::test]
async fn lines_that_parsers_read_differently_do_not_pass() {
    let odd: [(&[u8], _, _); 13] = [
        (b"data: \xff\n\n", "fail", "UTF-8"),
        (b"\xEF\xBB\xBFdata: a\n\n", "warning", "byte order mark"),
        (b"id: a\0\ndata: a\n\n", "warning", "U+0000"),
        (b"id: 1\ndata: a\nid: 2\n\n", "warning", "several ids"),
        (b"retry: 1\ndata: a\nretry: 2\n\nretry: 1\n", "warning", "several ids"),
        (b"data: a\r\r", "warning", "CR alone"),
        (b"retry: 5s\n", "warning", "milliseconds"),
        (b"retry:  5000\n", "warning", "milliseconds"),
        (b"retry: 5000 \n", "warning", "milliseconds"),
        (b"data: a\n \ndata: b\n\n", "warning", "the standard does not have"),
        (b"dta: a\n\n", "warning", "the standard does not have"),
        (b"id: 5\n\n", "warning", "without data"),
        (b":\n\n", "warning", "empty event"),
    ];
    let reports = join_all(odd.map(|(bytes, ..)| look_at("lines", bytes))).await;
    for (report, (_, verdict, text)) in reports.iter().zip(odd) {
        report.expect_with("lines", verdict, text);
    }
}

#[tokio::test]
async fn events_that_are_too_large_for_some_clients_do_not_pass() {
    for (len, verdict, text) in [(65_000, "pass", ""), (65_536, "warning", "64 KiB")] {
        let report = look_at("lines", format!("data: {}\n\n", "a".repeat(len))).await;
        report.expect_with("lines", verdict, text);
    }
}

type Resumed = fn(u64) -> Vec<Step>;

/// Serves nine events. For a request with an id, serves what `resumed` returns for the next number.
async fn resumable(resumed: Resumed) -> SocketAddr {
    serve(move |request| match request.header("last-event-id") {
        None => Answer::new(events(0, 9, 0)),
        Some(id) => Answer::new(resumed(id.parse::<u64>().unwrap() + 1)),
    })
    .await
}

fn from(next: u64) -> Vec<Step> {
    events(next, 9 - next, 0).collect()
}

#[tokio::test]
async fn resumption_without_hole_or_repetition_passes() {
    let report = look(resumable(from).await, "resumption", "3s").await;
    report.expect_with("resumption", "pass", "each of the 3 missed events came once");
}

#[tokio::test]
async fn resumption_with_a_hole_repetition_or_change_fails() {
    let cases: [(Resumed, &str); 6] = [
        (|next| from(next + 1), "1 events were lost"),
        (|_| vec![], "3 events were lost"),
        (|next| from(next - 1), "1 events came again"),
        (|_| from(0), "6 events came again"),
        (|next| [from(next), from(next)].concat(), "came twice"),
        (|next| [from(next + 1), events(next, 1, 0).collect()].concat(), "order differs"),
    ];
    let look = async |resumed| look(resumable(resumed).await, "resumption", "3s").await;
    let reports = join_all(cases.map(|(resumed, _)| look(resumed))).await;
    for (report, (_, text)) in reports.iter().zip(cases) {
        report.expect_with("resumption", "fail", text);
    }
}

type Next = fn(u64) -> u64;

/// In the first case, the server is off by one. In the second, it keeps only the newest value.
#[tokio::test]
async fn hole_before_new_events_fails_unless_all_but_one_are_missing() {
    // Ten events have come when the second connection begins after 2 seconds.
    let look = async |resumed: Next| {
        let address = serve(move |request| match request.header("last-event-id") {
            None => Answer::new(events(0, 18, 210)),
            Some(id) => {
                let next = resumed(id.parse().unwrap());
                Answer::new(events(next, 10 - next, 0).chain(late(events(10, 7, 210), 100)))
            }
        });
        look(address.await, "resumption", "4s").await
    };
    let cases: [(Next, _, _); 2] =
        [(|id| id + 2, "fail", "1 events were lost"), (|_| 9, "warning", "only the newest of")];
    on_a_busy_machine(async || {
        let reports = join_all(cases.map(|(resumed, ..)| look(resumed))).await;
        for (report, (_, verdict, text)) in reports.iter().zip(cases) {
            report.expect_with("resumption", verdict, text);
        }
    })
    .await;
}

/// A server that keeps only the newest value while a client reads slowly can send different events
/// to each client.
#[tokio::test]
async fn resumption_with_other_events_than_the_first_stream_warns() {
    let address = serve(|request| match request.header("last-event-id") {
        None => Answer::new(events(0, 7, 0).chain(events(8, 1, 0))),
        Some(id) => Answer::new(events(id.parse::<u64>().unwrap() + 2, 3, 0)),
    });
    let report = look(address.await, "resumption", "3s").await;
    report.expect_with("resumption", "warning", "each stream has events that the other lacks");
}

/// The events of one transaction can share an id.
#[tokio::test]
async fn events_that_share_an_id_are_told_apart_by_data() {
    let pair = |id: u64| (0..2).map(move |n| format!("id: {id}\ndata: {n} of {id}\n\n"));
    let pairs = move |next: u64| (next..9).flat_map(pair).collect::<Vec<_>>();
    for (resumed, verdict, text) in [
        (0..12, "pass", "each of the 6 missed events came once"),
        (1..12, "fail", "1 events were lost"),
        (0..3, "fail", "3 events were lost"),
    ] {
        let address = serve(move |request| {
            let id = request.header("last-event-id").map(|id| id.parse::<u64>().unwrap() + 1);
            let events = pairs(id.unwrap_or(0)).into_iter();
            let events = events.skip(if id.is_some() { resumed.start } else { 0 });
            let events = events.take(if id.is_some() { resumed.end } else { 99 });
            Answer::new([write(events.collect::<String>())])
        });
        let report = look(address.await, "resumption", "3s").await;
        report.expect_with("resumption", verdict, text);
    }
}

/// A heartbeat that is an event repeats the last id, even one that came without an event.
#[tokio::test]
async fn heartbeats_that_repeat_an_id_are_neither_lost_nor_repeated() {
    let beat =
        |at, id: u64| [Step::At(at), write(format!("event: heartbeat\nid: {id}\ndata: {{}}\n\n"))];
    // Each case has the number of events, the last id, and when the second connection's heartbeat
    // is due. The second connection begins after 2 seconds.
    let cases = [
        (3, 2, 1700, "pass", "each of the 1 missed events came once"),
        (3, 2, 9000, "pass", "each of the 1 missed events came once"),
        (3, 7, 9000, "pass", "each of the 1 missed events came once"),
        (1, 0, 1700, "not checked", "the client missed no event"),
        (0, 7, 1700, "not checked", "no event with an id"),
    ];
    let looks = cases.map(async |(count, last, due, verdict, text)| {
        let address = serve(move |request| {
            let id = request.header("last-event-id").map(|id| id.parse::<u64>().unwrap() + 1);
            let (next, due) = id.map_or((0, 1700), |next| (next, due));
            let id = [Step::At(200), write(format!("id: {last}\n\n"))];
            Answer::new(
                events(next, u64::saturating_sub(count, next), 0).chain(id).chain(beat(due, last)),
            )
        });
        let report = look(address.await, "resumption", "4s").await;
        report.expect_with("resumption", verdict, text);
    });
    join_all(looks).await;
}

/// The client doesn't even receive the newest of the events that it missed.
#[tokio::test]
async fn resumption_with_new_events_alone_fails() {
    let first = OnceLock::new();
    let address = serve(move |request| {
        let gone = first.get_or_init(Instant::now).elapsed().as_millis() as u64;
        let next = if request.header("last-event-id").is_some() { gone / 1000 + 1 } else { 0 };
        Answer::new(late(events(next, 9, 1000), (next * 1000).saturating_sub(gone)))
    });
    let report = look(address.await, "resumption", "6400ms").await;
    report.expect_with("resumption", "fail", "events were lost");
}

/// The check takes less than twice as long as another check of the same bytes.
#[tokio::test]
async fn resumption_of_a_busy_stream_ends_in_time() {
    const HALF: u64 = 60_000;
    let burst =
        |ids: Range<u64>| write(ids.map(|n| format!("id: {n}\ndata: {n}\n\n")).collect::<String>());
    on_a_busy_machine(async || {
        let address = serve(move |request| match request.header("last-event-id") {
            None => Answer::new([burst(0..HALF), Step::At(6_600), burst(HALF..2 * HALF)]),
            Some(id) => Answer::new([burst(id.parse::<u64>().unwrap() + 1..2 * HALF)]),
        });
        let (address, start) = (address.await, Instant::now());
        let timed = async |check| (look(address, check, "12s").await, start.elapsed());
        let ((resumed, time), (_, control)) = tokio::join!(timed("resumption"), timed("lines"));
        resumed.expect("resumption", "pass");
        assert!(time < 2 * control, "{time:?}, and without resumption {control:?}");
    })
    .await;
}

#[tokio::test]
async fn refused_resumption_fails_unless_the_stream_is_over() {
    let [gone, refusal, over]: [fn() -> Answer; 3] = [
        || Answer::with_head("404 Not Found"),
        || Answer::new([write("retry: 42118\n"), Step::End]),
        || Answer::with_head("204 No Content"),
    ];
    for (count, resumed, verdict, text) in [
        (9, gone, "fail", "404"),
        (99, refusal, "fail", "is refused"),
        (1, over, "pass", "204 stops"),
    ] {
        let address = serve(move |request| match request.header("last-event-id") {
            None => Answer::new(events(0, count, 50).chain([Step::End])),
            Some(_) => resumed(),
        });
        let report = look(address.await, "resumption", "4s").await;
        report.expect_with("resumption", verdict, text);
    }
}

#[tokio::test]
async fn resumption_is_not_checked_without_ids() {
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&count);
    let address = serve(move |_| {
        counted.fetch_add(1, SeqCst);
        Answer::new([write("data: a\n\n")])
    });
    let report = look(address.await, "resumption", "1s").await;
    report.expect("resumption", "not checked");
    assert_eq!(count.load(SeqCst), 1);
}
