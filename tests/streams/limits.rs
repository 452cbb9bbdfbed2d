//! Limits of open streams for each subject.

use std::sync::atomic::AtomicI64;

use tower_sse::streams::Streams;

use super::rig::{layer, open, open_for};
use super::*;
use crate::*;

fn limited(limits: &[(&'static str, usize)]) -> Streams {
    let builder = Streams::builder();
    limits.iter().fold(builder, |builder, &(prefix, limit)| builder.limit(prefix, limit)).build()
}

fn send(
    layer: &SseLayer,
    streams: &Streams,
    client: Requester,
    subjects: &[&'static str],
) -> Response<SseBody<FedBody>> {
    let mut request = client.request("/");
    let handle = streams.subjects_of(&mut request);
    subjects.iter().for_each(|subject| _ = handle.add(*subject));
    answer_to(request, &layer.clone().streams(streams), event_stream(Feed::new().1))
}

fn opens(streams: &Streams, subjects: &[&'static str]) -> bool {
    send(&SseLayer::new(), streams, Requester::Fetch, subjects).status() == StatusCode::OK
}

#[tokio::test(start_paused = true)]
async fn each_subject_has_as_many_streams_as_its_limit() {
    let streams = limited(&[("user:", 2)]);
    let first = open(&streams, &["user:1"]);
    let _second = open(&streams, &["user:1"]);
    assert!(!opens(&streams, &["user:1"]));
    assert!(opens(&streams, &["user:2"]), "each subject has its own places");
    assert!(opens(&streams, &["tenant:1"]), "no limit has this prefix");
    assert!(opens(&streams, &[]));
    drop(first);
    assert!(opens(&streams, &["user:1"]));
}

#[tokio::test(start_paused = true)]
async fn longest_prefix_of_a_subject_counts() {
    let streams = limited(&[("", 3), ("user:", 1), ("user:admin:", 2)]);
    let _open = [open(&streams, &["user:admin:1"]), open(&streams, &["x"])];
    assert!(opens(&streams, &["user:admin:1"]), "of two places");
    assert!(opens(&streams, &["x"]), "of three places");
    let _user = open(&streams, &["user:1"]);
    assert!(!opens(&streams, &["user:1"]));
}

#[tokio::test(start_paused = true)]
async fn stream_takes_the_places_of_all_its_subjects_or_none() {
    let streams = limited(&[("user:", 1), ("tenant:", 2)]);
    let _others = [open(&streams, &["tenant:7"]), open(&streams, &["tenant:7"])];
    assert!(!opens(&streams, &["user:1", "tenant:7"]));
    assert_eq!((streams.count("user:1"), streams.count("tenant:7")), (0, 2));
    assert!(opens(&streams, &["user:1"]), "a refused stream has no place");
}

#[tokio::test(start_paused = true)]
async fn subject_that_is_added_twice_takes_one_place() {
    let streams = limited(&[("user:", 2)]);
    let mut request = Requester::EventSource.request("/");
    let subjects = streams.subjects_of(&mut request);
    for _ in 0..2 {
        assert!(subjects.add("user:1"));
    }
    let _open = Rig::fed(SseLayer::new().streams(&streams), request);
    assert!(opens(&streams, &["user:1"]), "one place is left");
}

/// A layer outside, such as one that retries, repeats a request whose first answer was a stream.
#[tokio::test(start_paused = true)]
async fn repeated_request_takes_its_places_again_and_can_be_refused() {
    let streams = limited(&[("user:", 1)]);
    let layer = SseLayer::new().streams(&streams);
    let mut request = Requester::Fetch.request("/");
    let subjects = streams.subjects_of(&mut request);
    let repeat = || answer_to(request.clone(), &layer, event_stream(Feed::new().1));
    drop(repeat());
    subjects.add("user:1");
    let again = repeat();
    assert_eq!((again.status(), opens(&streams, &["user:1"])), (StatusCode::OK, false));
    drop(again);
    let _other = open(&streams, &["user:1"]);
    assert_eq!(repeat().status(), StatusCode::TOO_MANY_REQUESTS);
}

/// If closed streams never counted, a client that does not read could hold any number of them.
#[tokio::test(start_paused = true)]
async fn closed_stream_gives_its_place_to_one_other_until_it_has_ended() {
    for ends in [true, false] {
        let streams = limited(&[("user:", 1)]);
        let mut stream = open(&streams, &["user:1"]);
        // The close waits for the rest of this event.
        stream.passes("data: half");
        assert_eq!(now(streams.close("user:1")), 1);
        assert_eq!(streams.count("user:1"), 0);
        let mut other = open(&streams, &["user:1"]);
        other.passes("data: half");
        assert!(!opens(&streams, &["user:1"]), "one stream is open");
        assert_eq!(now(streams.close("user:1")), 1);
        for _ in 0..2 {
            assert!(!opens(&streams, &["user:1"]), "two bodies are still there");
            assert_eq!([stream.poll(), other.poll()], [Polled::Pending, Polled::Pending]);
        }
        if ends {
            stream.passes("\n\n");
            assert_eq!(stream.poll(), Polled::End);
        } else {
            drop(stream);
        }
        assert!(opens(&streams, &["user:1"]));
    }
}

/// The client may have stopped reading before the body fails.
#[tokio::test(start_paused = true)]
async fn closed_stream_that_fails_counts_until_it_has_failed() {
    let streams = limited(&[("user:", 1)]);
    let [mut stream, _other] = [(); 2].map(|()| {
        let stream = open_for(&streams, layer(&streams), Requester::Post, &["user:1"]).begin(b"");
        assert_eq!(now(streams.close("user:1")), 1);
        stream
    });
    stream.assert_polls([data(": \n"), Polled::Pending]);
    assert!(!opens(&streams, &["user:1"]), "two bodies are still there");
    stream.assert_fails(CloseReason::Revoked).await;
    assert!(opens(&streams, &["user:1"]));
}

#[tokio::test(start_paused = true)]
async fn source_that_is_refused_is_dropped_before_its_close_is_reported() {
    let streams = limited(&[("user:", 1)]);
    let _open = open(&streams, &["user:1"]);
    let (dropped, reported) = (CancellationToken::new(), Arc::<Mutex<Vec<bool>>>::default());
    let layer = SseLayer::new().streams(&streams).on_close({
        let (dropped, reported) = (dropped.clone(), Arc::clone(&reported));
        move |_| reported.lock().unwrap().push(dropped.is_cancelled())
    });
    let mut request = Requester::Get.request("/");
    streams.subjects_of(&mut request).add("user:1");
    let guard = dropped.drop_guard();
    let source = stream::pending().inspect(move |_: &Event| _ = &guard);
    let refused = answer_to(request, &layer, source);
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(*reported.lock().unwrap(), [true]);
}

/// Answers a request whose stream replaces the older ones of its tab.
fn reload(streams: &Streams) -> Response<SseBody<FedBody>> {
    let mut request = Requester::EventSource.request("/");
    let subjects = streams.subjects_of(&mut request);
    now(streams.replace(&subjects, "tab:1"));
    assert!(subjects.add("user:1"));
    answer_to(request, &layer(streams), event_stream(Feed::new().1))
}

/// As behind a proxy that keeps streams of pages that were left.
#[tokio::test(start_paused = true)]
async fn newest_stream_of_a_tab_takes_the_place_of_the_one_before() {
    let streams = limited(&[("user:", 1)]);
    let mut earlier = reload(&streams).into_body();
    for _ in 0..5 {
        let response = reload(&streams);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(streams.count("tab:1"), 1);
        while !matches!(poll_frame(&mut earlier), Polled::End) {}
        earlier = response.into_body();
        while poll_frame(&mut earlier) != Polled::Pending {}
    }
    let mut request: Request<()> = Requester::EventSource.request("/");
    assert!(!streams.subjects_of(&mut request).add("user:1"), "another tab has no place");
    drop(earlier);
    assert_eq!(streams.subjects(), []);
}

#[tokio::test(start_paused = true)]
async fn each_client_is_refused_so_that_it_tries_again_later() {
    let streams = limited(&[("user:", 1)]);
    let _open = open(&streams, &["user:1"]);
    let seconds = |headers: &HeaderMap| -> u64 {
        headers["retry-after"].to_str().unwrap().parse().expect("seconds")
    };
    for (client, range) in [
        (Requester::Fetch, 30..=60),
        (Requester::Get, 30..=60),
        // Streams that answer a POST are usually short, so another stream can open soon.
        (Requester::Post, 2..=10),
    ] {
        let refused = send(&SseLayer::new(), &streams, client, &["user:1"]);
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS, "{client:?}");
        assert!(range.contains(&seconds(refused.headers())), "{client:?}");
    }
    let refused = send(&SseLayer::new(), &streams, Requester::EventSource, &["user:1"]);
    assert_eq!(refused.status(), StatusCode::OK);
    let mut body = refused.into_body();
    let Polled::Data(line) = poll_frame(&mut body) else { panic!("no line") };
    let line = std::str::from_utf8(&line).unwrap().trim_end().strip_prefix("retry: ").unwrap();
    assert!((29_000..=59_000).contains(&line.parse::<u64>().unwrap()));
    idle(&mut body, SECOND).await;
    assert_eq!(poll_frame(&mut body), Polled::End);
}

/// The service has chosen the status itself. The layer's `max_streams` makes the same exception.
#[tokio::test(start_paused = true)]
async fn stream_with_another_status_is_never_refused() {
    let streams = limited(&[("user:", 1)]);
    let answer = |status| {
        let mut request = Request::new(());
        streams.subjects_of(&mut request).add("user:1");
        let stream = event_stream(Feed::new().1).with_status(status);
        answer_to(request, &SseLayer::new().streams(&streams), stream)
    };
    let first = answer(401);
    assert!(!opens(&streams, &["user:1"]), "it has taken the free place");
    let second = answer(401);
    assert_eq!((second.status(), streams.count("user:1")), (StatusCode::UNAUTHORIZED, 2));
    assert_eq!(streams.stats().refused_by_prefix, [("user:".into(), 1)]);
    drop(second);
    assert!(!opens(&streams, &["user:1"]), "the second had no place to give back");
    drop(first);
    assert!(opens(&streams, &["user:1"]));
}

#[tokio::test(start_paused = true)]
async fn subject_tells_whether_a_place_is_free_without_taking_it() {
    let streams = limited(&[("user:", 1)]);
    let mut request = Requester::Fetch.request("/");
    let subjects = streams.subjects_of(&mut request);
    assert!(subjects.add("user:1") && subjects.add("session:a"));
    let other = open(&streams, &["user:1"]);
    assert!(!subjects.add("user:1"));
    drop(other);
    assert!(subjects.add("user:1"));
    let _open = Rig::fed(SseLayer::new().streams(&streams), request);
    assert_eq!((streams.count("user:1"), streams.count("session:a")), (1, 1));
    assert!(subjects.add("user:1"), "the place is its own");
}

#[tokio::test(start_paused = true)]
async fn subject_that_had_no_place_has_none_when_added_again() {
    let streams = limited(&[("user:", 1)]);
    let mut request = Requester::Fetch.request("/");
    let subjects = streams.subjects_of(&mut request);
    let _stream = Rig::fed(SseLayer::new().streams(&streams), request);
    let _other = open(&streams, &["user:1"]);
    assert!(!subjects.add("user:1") && !subjects.add("user:1"));
}

/// The program can keep its handle longer than the request, for example in a task.
#[tokio::test(start_paused = true)]
async fn response_without_a_stream_leaves_no_count_and_no_place() {
    let stream = |status| event_stream(Feed::new().1).with_status(status);
    let (full, shutdown) = (SseLayer::new().max_streams(1), CancellationToken::new());
    let _open = crate::support::open::<Bodies>(&full).unwrap();
    shutdown.cancel();
    for (layer, method, accept, answer, status) in [
        (SseLayer::new(), Method::GET, "*/*", Response::new(Feed::new().1), 200),
        (SseLayer::new(), Method::HEAD, "*/*", stream(200), 200),
        (SseLayer::new(), Method::GET, "*/*", stream(304), 304),
        (full, Method::GET, "*/*", stream(200), 503),
        (SseLayer::new().shutdown(shutdown), Method::GET, "*/*", stream(200), 503),
        (SseLayer::new().require_accept(true), Method::GET, "text/html", stream(200), 406),
    ] {
        let _case = case(format!("{method}, status {status}"));
        let streams = limited(&[("user:", 1)]);
        let request = Request::builder().method(method).header("accept", accept);
        let mut request = request.body(()).unwrap();
        let kept = streams.subjects_of(&mut request);
        kept.add("user:1");
        let response = answer_to(request, &layer.streams(&streams), answer);
        assert_eq!(response.status(), status);
        assert_eq!((streams.subjects(), now(streams.close("user:1"))), (vec![], 0));
        assert!(opens(&streams, &["user:1"]));
        drop((kept, response));
    }
}

/// A task of the handler goes on after the client has left.
#[tokio::test(start_paused = true)]
async fn subject_that_is_added_after_the_response_takes_no_place() {
    let streams = limited(&[("user:", 1)]);
    let layer = SseLayer::new().streams(&streams);
    for answer in [Response::new(Feed::new().1), event_stream(Feed::new().1)] {
        let mut request = Requester::Fetch.request("/");
        let kept = streams.subjects_of(&mut request);
        drop(answer_to(request, &layer, answer));
        assert!(kept.add("user:1") && opens(&streams, &["user:1"]));
    }
}

#[tokio::test(start_paused = true)]
async fn refused_streams_are_counted_once_in_all_and_by_prefix() {
    let (streams, stats) = (limited(&[("user:", 1), ("b\"\\\n", 1)]), Stats::new());
    let layer = SseLayer::new().stats(&stats);
    let _open = open(&streams, &["user:1"]);
    let refused = send(&layer, &streams, Requester::Fetch, &["user:1"]);
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    // This request is refused by its handler.
    let response = answer_by(Requester::Post.request("/"), &layer.streams(&streams), |request| {
        let (parts, ()) = request.into_parts();
        let subjects = parts.extensions.get::<tower_sse::streams::Subjects>().unwrap();
        assert!(!subjects.add("user:1"));
        Refusal::too_many_requests().answer(&parts)
    });
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(stats.snapshot().refused, 2);
    let text = streams.stats().prometheus().to_string();
    let lines = Vec::from_iter(text.lines().skip(2));
    assert_eq!(
        lines,
        [
            r#"sse_streams_limited_total{prefix="b\"\\\n"} 0"#,
            r#"sse_streams_limited_total{prefix="user:"} 1"#
        ]
    );
}

/// Names come from clients, so any number of them can come and go.
#[test]
fn names_without_places_cost_no_memory() {
    let streams = limited(&[("user:", 1)]);
    let take = |count: usize| {
        for name in 0..count {
            let mut request = Request::new(());
            let subjects = streams.subjects_of(&mut request);
            subjects.add(format!("session:{name}"));
            subjects.add(format!("user:{name}"));
            drop(Rig::fed(SseLayer::new().streams(&streams), request));
        }
    };
    take(100);
    let counted = allocation_counter::measure(|| take(10_000));
    assert!(counted.bytes_current < 4096, "{} bytes", counted.bytes_current);
}

// Threads that open and drop streams of a few subjects at the same time.

const USERS: usize = 4;
const USER_LIMIT: i64 = 2;
const TENANT_LIMIT: i64 = 5;
const ROUNDS: usize = 10_000;

/// Adds a user and the tenant to the subjects of a request, and sends the request. In each third
/// round, it is not sent if the user is at the limit. Returns the response if its status is 200.
fn attempt(round: usize, streams: &Streams, layer: &SseLayer) -> Option<impl Sized + use<>> {
    let mut request = Request::new(());
    let subjects = streams.subjects_of(&mut request);
    let user = format!("user:{}", round * 7 % USERS);
    if round.is_multiple_of(3) {
        subjects.add(user).then_some(())?;
    } else {
        subjects.add(user);
    }
    subjects.add("tenant:1");
    let answer = match round % 5 {
        // A stream with status 404 is never refused. This function then drops the stream, because
        // the status is not 200.
        0 => event_stream(Feed::new().1).with_status(404),
        _ => event_stream(Feed::new().1),
    };
    let response = answer_to(request, layer, answer);
    (response.status() == StatusCode::OK).then_some(response)
}

#[test]
fn no_race_opens_more_streams_than_the_limits_or_loses_a_place() {
    race(1, |_, _| {});
}

/// A subject has at most as many closed streams as open ones.
#[test]
fn races_with_closes_open_at_most_twice_the_limits() {
    race(2, |streams, round| {
        if round.is_multiple_of(5) {
            _ = now(streams.close(format!("user:{}", round % USERS)));
        }
    });
}

/// The test's own counts rise after a stream has opened and fall before it is dropped, so they
/// never exceed the number of streams.
fn race(times: i64, close: fn(&Streams, usize)) {
    let streams = Streams::builder()
        .limit("user:", USER_LIMIT as usize)
        .limit("tenant:", TENANT_LIMIT as usize)
        .build();
    let layer = SseLayer::new().streams(&streams);
    let users: Arc<[AtomicI64; USERS]> = Arc::default();
    let tenant = Arc::new(AtomicI64::new(0));
    let opened = AtomicI64::new(0);
    thread::scope(|threads| {
        for offset in 0..2 {
            let (streams, layer, users) = (&streams, &layer, &users);
            let (tenant, opened) = (&tenant, &opened);
            threads.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
                let runtime = runtime.unwrap();
                let _entered = runtime.enter();
                let mut held = Vec::new();
                for round in (0..ROUNDS).map(|round| 2 * round + offset) {
                    if let Some(stream) = attempt(round, streams, layer) {
                        let user = round * 7 % USERS;
                        let count = users[user].fetch_add(1, SeqCst);
                        assert!(count < times * USER_LIMIT, "user {user}");
                        assert!(tenant.fetch_add(1, SeqCst) < times * TENANT_LIMIT, "the tenant");
                        opened.fetch_add(1, SeqCst);
                        held.push((user, stream));
                    }
                    close(streams, round);
                    if held.len() > round % 4 {
                        let (user, stream) = held.swap_remove(round % held.len());
                        users[user].fetch_sub(1, SeqCst);
                        tenant.fetch_sub(1, SeqCst);
                        drop(stream);
                    }
                }
                for (user, _stream) in held {
                    users[user].fetch_sub(1, SeqCst);
                    tenant.fetch_sub(1, SeqCst);
                }
            });
        }
    });
    let opened = opened.into_inner();
    let refused: u64 = streams.stats().refused_by_prefix.iter().map(|(_, refused)| refused).sum();
    assert!(opened > 1_000 && refused > 1_000, "{opened} opened, {refused} refused");
    assert_eq!(streams.subjects(), []);
    let mut bodies = Vec::new();
    for (subject, limit) in
        [("user:0", USER_LIMIT), ("user:3", USER_LIMIT), ("tenant:1", TENANT_LIMIT)]
    {
        for place in 0..=limit {
            let stream = send(&layer, &streams, Requester::Fetch, &[subject]);
            let is_open = stream.status() == StatusCode::OK;
            assert_eq!(is_open, place < limit, "{subject}, place {place}");
            bodies.push(stream);
        }
    }
}
