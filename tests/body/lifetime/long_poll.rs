//! Streams with the option `long_poll`.

use http::header::CONTENT_ENCODING;
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::{rig::*, *};

const WAIT: Duration = Duration::from_secs(8);

fn polling() -> StreamOptions {
    StreamOptions::new().long_poll(WAIT)
}

fn rig_of(layer: SseLayer, client: Requester) -> Rig {
    Rig::answering(layer, client.request("/"), |answer| answer.with_options(polling()))
}

#[tokio::test(start_paused = true)]
async fn poll_ends_cleanly_for_every_client_once_its_source_is_pending() {
    for client in Requester::ALL {
        let mut rig = rig_of(layer(Drain::per_client()), client);
        rig.idle(SECOND).await;
        rig.feed.data("data: a\n\n");
        rig.feed.data("event: gap\ndata: {}\n\n");
        rig.assert_polls([data("data: a\n\n"), data("event: gap\ndata: {}\n\n")]);
        rig.assert_ends(CloseReason::Answered);
    }
}

#[tokio::test(start_paused = true)]
async fn poll_without_news_ends_after_its_longest_wait() {
    for client in Requester::ALL {
        // A heartbeat does not answer a poll.
        let layer = SseLayer::new().heartbeat(Duration::from_secs(5));
        let mut rig = rig_of(layer, client);
        time::advance(10 * WAIT).await;
        rig.idle(5 * SECOND).await;
        assert_eq!(rig.poll(), data(": \n"));
        rig.assert_waits(3 * SECOND).await;
        rig.assert_ends(CloseReason::Answered);
    }
}

/// Only a late answer can begin with an id that serves the heartbeats.
#[tokio::test(start_paused = true)]
async fn poll_ends_behind_an_id_alone_although_heartbeats_are_events() {
    let layer = SseLayer::new().heartbeat(Heartbeat::default().event("beat", "{}"));
    let mut rig = rig_of(layer.without_retry(), Requester::EventSource);
    rig.feed.data("id: 7\n\n");
    rig.assert_polls([data("id: 7\n\n")]);
    rig.assert_ends(CloseReason::Answered);
}

#[tokio::test(start_paused = true)]
async fn query_asks_for_a_poll_of_up_to_25_seconds() {
    for (query, wait) in [
        ("poll=8", 8),
        ("a&b=1&poll=&poll=8", 8),
        ("p%6Fll=0", 1),
        ("poll=99", 25),
        ("poll=18446744073709551616", 25),
    ] {
        let layer = layer(Drain::per_client()).long_poll_query("poll");
        let request = Requester::EventSource.request(&format!("/?{query}"));
        let mut rig = Rig::answering(layer, request, |answer| answer);
        assert_eq!(rig.poll(), Polled::Pending, "{query}");
        rig.assert_waits(wait * SECOND).await;
        rig.assert_ends(CloseReason::Answered);
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_get_with_a_number_in_its_query_is_a_poll() {
    let page = Requester::EventSource;
    for query in ["", "poll", "poll=", "poll=x", "poll=-1", "poll=%2B8", "poll=1.5", "polls=8"] {
        assert_streams(page.request(&format!("/?{query}")));
    }
    let mut call: Request<()> = page.request("/?poll=8");
    *call.method_mut() = Method::POST;
    assert_streams(call);
}

#[track_caller]
fn assert_streams(request: Request<()>) {
    let layer = layer(Drain::per_client()).long_poll_query("poll");
    let mut rig = Rig::answering(layer, request, |answer| answer);
    rig.feed.data("data: a\n\n");
    assert_eq!(rig.poll(), data("data: a\n\n"));
    assert_eq!(rig.poll(), Polled::Pending);
}

#[tokio::test(start_paused = true)]
async fn poll_completes_the_event_that_it_has_begun() {
    let mut rig = rig_of(layer(Drain::per_client()), Requester::EventSource);
    rig.passes("data: a\n");
    rig.assert_waits(WAIT).await;
    assert_eq!(rig.poll(), Polled::Pending);
    rig.passes("id: 1\n\n");
    rig.assert_ends(CloseReason::Answered);
}

#[tokio::test(start_paused = true)]
async fn poll_of_a_busy_source_ends_after_its_longest_wait() {
    let source = stream::repeat_with(|| Ok::<_, BoxError>(Frame::data(Bytes::from("data: a\n\n"))));
    let answer = event_stream(StreamBody::new(source)).with_options(polling());
    let mut rig = Rig::of(layer(Drain::per_client()), Requester::EventSource, answer);
    assert_eq!(rig.poll(), data("data: a\n\n"));
    time::advance(WAIT - MILLISECOND).await;
    assert_eq!(rig.poll(), data("data: a\n\n"));
    time::advance(2 * MILLISECOND).await;
    rig.assert_ends(CloseReason::Answered);
}

/// In one poll of a task, a tokio channel yields at most 128 events, although it has more.
#[tokio::test(start_paused = true)]
async fn poll_takes_all_that_is_ready_whatever_the_budget_of_its_task() {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    for number in 0..10_000 {
        sender.send(Event::from(number.to_string())).unwrap();
    }
    let events = UnboundedReceiverStream::new(receiver);
    let answer = tower_sse::response(events).with_options(polling());
    let layer = SseLayer::new().without_retry();
    let body = answer_to(Requester::EventSource.request("/"), &layer, answer).into_body();
    let read = tokio::spawn(read_to_end(body)).await.unwrap();
    assert_eq!((read.0.matches("data: ").count(), read.1.is_some()), (10_000, false));
    assert!(sender.is_closed());
}

#[tokio::test(start_paused = true)]
async fn event_source_returns_within_a_second_unless_told_otherwise() {
    let first = |options: StreamOptions| {
        let request = Requester::EventSource.request("/");
        let change = |answer: Response<FedBody>| answer.with_options(options);
        let Polled::Data(line) = Rig::starting_with(SseLayer::new(), request, change).poll() else {
            panic!("no reconnection time");
        };
        let line = String::from_utf8(line.into()).unwrap();
        line.trim().strip_prefix("retry: ").unwrap().parse::<u64>().unwrap()
    };
    let times: Vec<_> = (0..100).map(|_| first(polling())).collect();
    assert!(times.iter().all(|time| (200..=1_000).contains(time)), "{times:?}");
    assert!(times.iter().min() < times.iter().max());
    assert_eq!(first(polling().retry(7 * SECOND)), 7_000);
}

#[tokio::test(start_paused = true)]
async fn shorter_age_ends_a_poll_as_expired() {
    let options = |age| polling().max_age(MaxAge::new(age).grace(Duration::ZERO));
    let (expired, answered) = (CloseReason::Expired, CloseReason::Answered);
    for (age, reason) in [(SECOND, expired), (WAIT, answered), (2 * WAIT, answered)] {
        let mut rig = Rig::with_options(layer(Drain::per_client()), options(age));
        rig.assert_waits(age.min(WAIT)).await;
        rig.assert_ends(reason);
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_spreads_the_clients_of_polls() {
    let mut rig = rig_of(layer(Drain::per_client()), Requester::EventSource);
    rig.idle(SECOND).await;
    rig.shutdown.cancel();
    rig.assert_ends_with(GOODBYE, CloseReason::Drained);
}

#[tokio::test(start_paused = true)]
async fn poll_that_ends_before_its_drain_ends_cleanly() {
    for client in Requester::ALL {
        let mut rig = rig_of(layer(Drain::after(3 * WAIT)), client);
        rig.idle(SECOND).await;
        rig.shutdown.cancel();
        assert_eq!(rig.poll(), Polled::Pending);
        rig.assert_waits(WAIT - SECOND).await;
        if matches!(client, Requester::Fetch | Requester::Post) {
            rig.assert_ends(CloseReason::Answered);
        } else {
            rig.assert_ends_with(GOODBYE, CloseReason::Drained);
        }
    }
}

/// The layer cannot see where events end in a coded stream.
#[tokio::test(start_paused = true)]
async fn poll_with_a_content_coding_fails_after_its_longest_wait() {
    let coded = |answer: Response<FedBody>| {
        let mut answer = answer.with_options(polling());
        answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        answer
    };
    let request = Requester::EventSource.request("/");
    let mut rig = Rig::answering(layer(Drain::per_client()), request, coded);
    rig.passes("coded");
    rig.assert_waits(WAIT).await;
    rig.assert_fails(CloseReason::Answered).await;
}

#[tokio::test(start_paused = true)]
async fn source_that_ends_during_a_poll_has_ended() {
    let mut rig = rig_of(layer(Drain::per_client()), Requester::EventSource);
    rig.feed.data("data: a\n\n");
    rig.feed.end();
    assert_eq!(rig.poll(), data("data: a\n\n"));
    rig.assert_ends_with("data: [DONE]\n\n", CloseReason::Ended);
}

/// With a wait of zero, a program asks for what is ready now.
#[tokio::test(start_paused = true)]
async fn poll_that_may_not_wait_sends_what_is_ready() {
    for client in Requester::ALL {
        let options = StreamOptions::new().long_poll(Duration::ZERO);
        let change = |answer: Response<FedBody>| answer.with_options(options);
        let mut rig = Rig::answering(layer(Drain::per_client()), client.request("/"), change);
        rig.feed.data("data: a\n\n");
        rig.feed.data("data: b\n\n");
        rig.assert_polls([data("data: a\n\n"), data("data: b\n\n")]);
        rig.assert_ends(CloseReason::Answered);
    }
}

/// If the poll did not end, nothing would wake its task before the longest wait.
#[tokio::test(start_paused = true)]
async fn poll_ends_at_once_although_its_source_spends_the_last_budget() {
    let (mut event, mut silences) = (Some(Event::from("a")), 0);
    let source = stream::poll_fn(move |cx| {
        if event.is_some() {
            return Poll::Ready(event.take());
        }
        silences += 1;
        // The source's second poll without an event comes in the same poll of the task as the
        // event.
        while silences == 2 && coop::has_budget_remaining() {
            let Poll::Ready(unit) = coop::poll_proceed(cx) else { break };
            unit.made_progress();
        }
        Poll::Pending
    });
    let answer = tower_sse::response(source).with_options(polling());
    let layer = SseLayer::new().without_retry();
    let body = answer_to(Requester::EventSource.request("/"), &layer, answer).into_body();
    let start = Instant::now();
    tokio::spawn(read_to_end(body)).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}
