//! The checks of `--via`, with a second server in place of a proxy.

use std::net::SocketAddr;

use crate::report::{Report, look_through, on_a_busy_machine};
use crate::server::*;

async fn look(
    outer: impl IntoIterator<Item = Step>,
    inner: impl IntoIterator<Item = Step>,
) -> Report {
    look_from(serve_steps(outer).await, inner).await
}

async fn look_from(outer: SocketAddr, inner: impl IntoIterator<Item = Step>) -> Report {
    let hops = [outer, serve_steps(inner).await];
    look_through(&hops, "--for 3s --only start,delay,changes,end").await
}

fn texts(texts: impl IntoIterator<Item = String>, interval: u64) -> Vec<Step> {
    let texts = (0..).zip(texts);
    texts.flat_map(|(n, it)| [Step::At(n * interval), write(format!("data: {it}\n\n"))]).collect()
}

fn numbers(count: u64) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("number {n}"))
}

#[tokio::test]
async fn equal_streams_pass() {
    let report = look(events(0, 99, 200), events(0, 99, 200)).await;
    report.expect_with("delay", "pass", "median");
    report.expect("changes", "pass");
    let report = look(texts(numbers(99), 200), texts(numbers(99), 200)).await;
    report.expect("delay", "pass");
    report.expect("changes", "pass");
}

#[tokio::test]
async fn comments_retry_line_ends_and_differing_greetings_pass() {
    let outer = events(0, 9, 200).map(|step| match step {
        Step::Write(it) => {
            write(String::from_utf8(it).unwrap().replace(": ", ":").replace('\n', "\r\n"))
        }
        step => step,
    });
    let with_lines = |text: &str| [write(text)];
    let outer = with_lines("retry: 7\n: one\n\n").into_iter().chain(outer);
    let report = look(outer, with_lines("retry: 9\n").into_iter().chain(events(0, 9, 200))).await;
    assert_eq!(report.all("pass").len(), 5, "{report}");
    let texts = |own: &str| texts([own.to_owned()].into_iter().chain(numbers(9)), 200);
    let report = look(texts("you are 1"), texts("you are 2")).await;
    assert_eq!(report.all("pass").len(), 5, "{report}");
}

#[tokio::test]
async fn late_events_fail() {
    let report = look(late(events(0, 99, 200), 300), events(0, 99, 200)).await;
    report.expect_with("delay", "fail", "events come late (median");
    let report =
        look(late(texts(numbers(99), 200).into_iter(), 300), texts(numbers(99), 200)).await;
    report.expect_with("delay", "fail", "events come late (median");
}

#[tokio::test]
async fn events_that_come_in_bunches_fail() {
    let bunches = (0..3).flat_map(|n| late(events(n * 5, 5, 0), (n + 1) * 1000));
    let report = look(bunches, events(0, 15, 200)).await;
    report.expect_with("delay", "fail", "came together that were sent apart");
    report.expect("changes", "pass");
}

/// The two streams have no data in common, as if each event held the time at which it was sent.
#[tokio::test]
async fn bunches_are_found_without_ids_and_equal_data() {
    let own = |stream: &'static str| (0..15).map(move |n| format!("{stream} {n}"));
    let bunch = |n: usize| texts(own("outer").skip(n * 5).take(5), 0);
    let bunches = (0..3).flat_map(|n| late(bunch(n).into_iter(), (n as u64 + 1) * 1000));
    let report = look(bunches, texts(own("inner"), 200)).await;
    report.expect_with("delay", "fail", "came together that were sent apart");
    report.expect("changes", "not checked");
    let report = look(texts(own("outer"), 200), texts(own("inner"), 200)).await;
    report.expect("delay", "pass");
}

/// A stream that joins one event later is not late.
#[tokio::test]
async fn equal_events_are_not_compared_by_time() {
    let ticks = |count| texts((0..count).map(|_| "tick".to_owned()), 400);
    let report = look(late(ticks(9).into_iter(), 390), ticks(9)).await;
    report.expect("delay", "pass");
}

#[tokio::test]
async fn events_that_do_not_come_fail() {
    let report = look([], events(0, 9, 200)).await;
    report.expect_with("delay", "fail", "events are held back");
    let report = look(events(0, 4, 200), events(0, 9, 200)).await;
    report.expect_with("delay", "fail", "not received yet");
}

/// A hub greets an `EventSource`, also through a hop that holds back what follows.
#[tokio::test]
async fn events_behind_a_greeting_that_comes_alone_fail() {
    let start = || write("event: start\nid: 0\ndata: {}\n\n");
    let inner = serve_steps([start()].into_iter().chain(events(1, 9, 200))).await;
    let hops = [serve_steps([start()]).await, inner];
    let report = look_through(&hops, "--for 3s --only delay --allow-empty").await;
    report.expect_with("delay", "fail", "events are held back");
}

#[tokio::test]
async fn heads_that_do_not_come_fail_by_page_of_proxy() {
    let nginx = serve(|request| {
        let head = if request.0.starts_with("HEAD") { "200 OK\r\nserver: nginx" } else { "" };
        Answer { head: head.to_owned(), ..Answer::new([]) }
    });
    let report = look_from(nginx.await, events(0, 9, 200)).await;
    report.expect_with("delay", "fail", "and the head");
    report.expect_with("delay", "fail", "guide/nginx/");
    report.expect("start", "fail");
}

#[tokio::test]
async fn delay_leads_to_page_of_the_hop_that_adds_it() {
    let look = async |times: [u64; 3]| {
        let mut hops = Vec::new();
        for (server, by) in ["cloudflare", "nginx", "axum"].into_iter().zip(times) {
            let answer = move |_: &Request| Answer {
                head: format!("{HEAD}\r\nserver: {server}"),
                ..Answer::new(late(events(0, 9, 200), by))
            };
            hops.push(serve(answer).await);
        }
        look_through(&hops, "--for 3s --only delay").await
    };
    look([600, 600, 0]).await.expect_with("delay", "fail", "guide/nginx/");
    look([600, 0, 0]).await.expect_with("delay", "fail", "guide/proxies/#cloudflare");
}

/// If nginx holds the head back, Cloudflare gets none either.
#[tokio::test]
async fn head_that_two_proxies_lack_is_held_by_the_inner_one() {
    let proxy = |server: &'static str| {
        serve(move |request| {
            let head = format!("200 OK\r\nserver: {server}");
            let head = if request.0.starts_with("HEAD") { head } else { String::new() };
            Answer { head, ..Answer::new([]) }
        })
    };
    let server = serve_steps(events(0, 9, 200)).await;
    let hops = [proxy("cloudflare").await, proxy("nginx").await, server];
    let report = look_through(&hops, "--for 3s").await;
    report.expect_with("start", "fail", "guide/nginx/");
    report.expect_with("delay", "fail", "guide/nginx/");
}

/// Looks at three addresses, the outermost first. Each sends its head after one of these times in
/// milliseconds. Returns the report and the addresses.
async fn look_at_heads(times: [u64; 3]) -> (Report, [String; 3]) {
    let mut hops = Vec::new();
    for head_at in times {
        let answer = move |_: &Request| Answer { head_at, ..Answer::new(events(0, 1, 0)) };
        hops.push(serve(answer).await);
    }
    let report = look_through(&hops, "--for 4s --only start").await;
    (report, [0, 1, 2].map(|hop: usize| format!("http://{}/", hops[hop])))
}

#[tokio::test]
async fn late_head_is_put_down_to_the_hop_that_holds_it_back() {
    on_a_busy_machine(async || {
        let (report, [outer, middle, _]) = look_at_heads([1500, 0, 0]).await;
        let hop = format!("between {outer} and {middle}, it is held back for 1.5 s");
        report.expect_with("start", "warning", &hop);
        report.expect_with("start", "warning", "guide/proxies/#buffers");
        let (report, [_, middle, inner]) = look_at_heads([1500, 1500, 0]).await;
        report.expect_with(
            "start",
            "warning",
            &format!("between {middle} and {inner}, it is held"),
        );
        look_at_heads([500, 0, 0]).await.0.expect("start", "pass");
    })
    .await;
}

#[tokio::test]
async fn late_head_of_the_server_itself_leads_to_early_heads() {
    on_a_busy_machine(async || {
        let (report, [_, _, inner]) = look_at_heads([1500, 1500, 1500]).await;
        report.expect_with("start", "warning", &format!("{inner} itself sends it after 1.5 s"));
        report.expect_with("start", "warning", "tower_sse/early_head/");
    })
    .await;
}

fn without(id: u64) -> impl Iterator<Item = Step> {
    let needle = format!("id: {id}\n");
    events(0, 9, 200).filter(move |step| match step {
        Step::Write(it) => !it.starts_with(needle.as_bytes()),
        _ => true,
    })
}

#[tokio::test]
async fn dropped_events_fail() {
    let report = look(without(4), events(0, 9, 200)).await;
    report.expect_with("changes", "fail", "id: 4");
    let dropped = texts(numbers(9).filter(|it| it != "number 4"), 200);
    let report = look(dropped, texts(numbers(9), 200)).await;
    report.expect_with("changes", "fail", "number 4");
}

#[tokio::test]
async fn changed_events_fail_unless_all_are() {
    let changed = |which: fn(usize) -> bool| {
        events(0, 9, 200).enumerate().map(move |(n, step)| match step {
            Step::Write(it) if which(n) => {
                write(String::from_utf8(it).unwrap().replace("event", "EVENT"))
            }
            step => step,
        })
    };
    let report = look(changed(|n| n == 5), events(0, 9, 200)).await;
    report.expect_with("changes", "fail", "1 of 9");
    let report = look(changed(|_| true), events(0, 9, 200)).await;
    report.expect("changes", "warning");
}

/// The two clients' greetings differ, because of their positions or for another reason.
#[tokio::test]
async fn greetings_with_positions_of_their_clients_pass() {
    let greeted = |id: u64, text: &str| {
        let greeting = write(format!("event: backlog\nid: {id}\ndata: {text}\n\n"));
        [greeting].into_iter().chain(late(events(id + 1, 9 - id, 200), id * 200))
    };
    for (outer, inner) in [(1, 0), (0, 1), (0, 0)] {
        let report = look(greeted(outer, "one"), greeted(inner, "other")).await;
        report.expect("changes", "pass");
    }
}

/// For each client, the server keeps only the newest value while it waits to send.
#[tokio::test]
async fn streams_with_values_that_the_other_lacks_only_warn() {
    let report = look(without(4), without(6)).await;
    report.expect_with("changes", "warning", "each stream has events that the other lacks");
}

#[tokio::test]
async fn streams_that_end_before_their_servers_do_fail() {
    let report = look(events(0, 5, 200).chain([Step::End]), events(0, 9, 200)).await;
    report.expect_with("end", "fail", "is still open");
    let ended = |count| events(0, count, 200).chain([Step::End]);
    look(ended(5), ended(5)).await.expect("end", "pass");
    // The server's stream ends too, before the watch does.
    let report = look(ended(5), ended(9)).await;
    report.expect_with("changes", "warning", "the last 4 events are missing");
}

/// The hop next to the server ends the stream.
#[tokio::test]
async fn stream_that_ends_two_hops_before_its_server_fails() {
    let ended = serve_steps(events(0, 5, 100).chain([Step::End])).await;
    let inner = serve_steps(events(0, 9, 100)).await;
    let report = look_through(&[ended, ended, inner], "--for 2s --only end").await;
    report.expect_with("end", "fail", &format!("http://{inner}/ is still open"));
}

#[tokio::test]
async fn hop_of_two_is_named() {
    let outer = serve_steps(late(events(0, 9, 200), 500)).await;
    let [middle, inner] =
        [serve_steps(events(0, 9, 200)).await, serve_steps(events(0, 9, 200)).await];
    let report = look_through(&[outer, middle, inner], "--for 2s --only delay").await;
    let hop = format!("between http://{outer}/ and http://{middle}/");
    report.expect_with("delay", "fail", &hop);
}

#[tokio::test]
async fn inner_address_without_stream_is_not_compared() {
    let wrong = serve(|_| Answer::with_head("404 Not Found")).await;
    let outer = serve_steps(events(0, 9, 100)).await;
    let report = look_through(&[outer, wrong], "--for 1s --only delay").await;
    report.expect_with("delay", "not checked", "404");
    // A hop that passes must not hide one that is not checked.
    let right = serve_steps(events(0, 9, 100)).await;
    let report = look_through(&[outer, right, wrong], "--for 1s --only delay,changes").await;
    report.expect_with("delay", "not checked", "404");
    report.expect("changes", "not checked");
}

/// Two of the server's timers are due together, so the streams have their events in different
/// orders. The streams also have different data.
#[tokio::test]
async fn events_that_come_in_another_order_are_not_held_back() {
    let named = |names: &'static str, own: &'static str| {
        let write_one = move |(n, name): (usize, char)| {
            let at = Step::At(n as u64 * 200);
            [at, write(format!("event: {name}\ndata: {own} {n}\n\n"))]
        };
        names.chars().enumerate().flat_map(write_one)
    };
    let report = look(named("ttptttttt", "outer"), named("tttpttttt", "inner")).await;
    report.expect("delay", "pass");
}

async fn look_at_calls(
    outer: impl IntoIterator<Item = Step>,
    inner: impl IntoIterator<Item = Step>,
) -> Report {
    let hops = [serve_steps(outer).await, serve_steps(inner).await];
    look_through(&hops, "--data {} --for 3s").await
}

/// A server can send the answers to two POST requests at different times and with different
/// lengths.
#[tokio::test]
async fn calls_that_differ_in_time_only_warn() {
    let late = late(events(0, 5, 200), 400).chain([Step::End]);
    let report = look_at_calls(late, events(0, 30, 200)).await;
    report.expect_with("delay", "warning", "events come late");
    assert_eq!(report.all("fail"), [""; 0], "{report}");
}

#[tokio::test]
async fn calls_that_differ_in_some_events_only_warn() {
    let numbered = |own: &'static str| {
        let text = move |n| if n % 4 == 0 { own } else { "same" };
        (0..10).map(move |n| write(format!("id: {n}\ndata: {}\n\n", text(n))))
    };
    let report = look_at_calls(numbered("one"), numbered("other")).await;
    report.expect_with("changes", "warning", "2 of 10");
    let report = look_at_calls(numbered("same").step_by(2), numbered("same")).await;
    report.expect_with("changes", "warning", "dropped");
}

#[tokio::test]
async fn calls_that_differ_in_speed_only_warn() {
    let own = |stream: &'static str| (0..200).map(move |n| format!("{stream} {n}"));
    let report = look_at_calls(texts(own("outer"), 60), texts(own("inner"), 25)).await;
    assert_eq!(report.all("fail"), [""; 0], "{report}");
}

/// nginx over HTTP/1.0 holds events back like this.
#[tokio::test]
async fn call_whose_events_come_all_at_its_end_fails() {
    let bunch = late(events(0, 10, 0), 2000).chain([Step::End]);
    let report = look_at_calls(bunch, events(0, 10, 200).chain([Step::End])).await;
    report.expect_with("delay", "fail", "came together that were sent apart");
}

/// Only the first megabytes of very fast streams are looked at.
#[tokio::test]
async fn fast_streams_pass() {
    let events = |block: u64| -> String {
        (0..1000).map(|n| format!("id: {block}-{n}\ndata: {}\n\n", "x".repeat(100))).collect()
    };
    let blocks: Vec<_> = (0..200).map(|block| write(events(block))).collect();
    on_a_busy_machine(async || {
        let hops = [serve_steps(blocks.clone()).await, serve_steps(blocks.clone()).await];
        let report = look_through(&hops, "--for 8s --only start,delay,changes,end").await;
        assert_eq!(report.all("pass").len(), 4, "{report}");
        report.expect_with("end", "not checked", "only the first");
    })
    .await;
}

/// The events are late, but not held back until there are several.
#[tokio::test]
async fn steady_events_that_are_late_are_no_bunch() {
    let report = look(late(events(0, 10, 200), 400), events(0, 10, 200)).await;
    report.expect_with("delay", "fail", "events come late");
}
