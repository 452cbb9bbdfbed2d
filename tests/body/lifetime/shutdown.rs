//! The beginning of the shutdown, combined with other ends.

use crate::{rig::*, *};

#[tokio::test(start_paused = true)]
async fn stream_whose_head_follows_the_shutdown_is_refused_and_not_opened() {
    for (client, status) in [
        (Requester::EventSource, StatusCode::OK),
        (Requester::Fetch, StatusCode::SERVICE_UNAVAILABLE),
        (Requester::Get, StatusCode::SERVICE_UNAVAILABLE),
        (Requester::Post, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let (feed, source) = Feed::new();
        let (token, stats) = (CancellationToken::new(), Stats::new());
        let layer: SseLayer = layer(Drain::never())
            .shutdown(token.clone())
            .stats(&stats)
            .on_open(|| panic!("opened"))
            .on_close(|_| panic!("closed"));
        token.cancel();
        let mut response = answer_to(client.request("/"), &layer, event_stream(source));
        assert_eq!(response.status(), status, "{client:?}");
        assert!(feed.is_dropped());
        assert_eq!(feed.polls(), 0);
        assert_eq!((stats.snapshot().refused, stats.snapshot().opened), (1, 0));
        if status == StatusCode::OK {
            assert!(!response.body().is_end_stream());
            let Polled::Data(line) = poll_frame(response.body_mut()) else { panic!("no line") };
            assert!(line.starts_with(b"retry: ") && line.ends_with(b"\n"), "{line:?}");
        }
        assert_eq!(poll_frame(response.body_mut()), Polled::End);
        assert!(response.body().is_end_stream());
    }
}

#[tokio::test(start_paused = true)]
async fn second_shutdown_has_no_effect() {
    let layer = layer(Drain::after(20 * SECOND));
    let mut rig = Rig::draining(b"data: a\n\n", layer, Requester::EventSource);
    rig.idle(15 * SECOND).await;
    rig.shutdown.cancel();
    rig.idle(5 * SECOND).await;
    assert_eq!(rig.poll(), data(GOODBYE));
    rig.shutdown.cancel();
    rig.assert_ends(CloseReason::Drained);
}

#[tokio::test(start_paused = true)]
async fn stream_that_ends_ends_no_other_stream() {
    let token = CancellationToken::new();
    let layer: SseLayer = layer(Drain::at_once()).shutdown(token.clone());
    let open = || fed_to(Requester::EventSource.request("/"), &layer);
    let ((one, mut first), (other, mut second)) = (open(), open());
    one.end();
    assert_eq!(poll_frame(&mut first), data("data: [DONE]\n\n"));
    drop(first);
    other.passes("data: a\n\n", &mut second);
    assert_eq!(poll_frame(&mut second), Polled::Pending);
    assert!(!token.is_cancelled());
}

/// Returns the age at which a mid-event stream is over when `drain` begins at the age `begins`. Its
/// maximum age is 10 seconds.
async fn over_at(drain: Drain, begins: Duration, client: Requester) -> (Duration, Polled) {
    let layer = layer(drain).max_age(MaxAge::new(10 * SECOND));
    let mut rig = Rig::after(b"data: a\n", layer, client);
    let mut age = Duration::ZERO;
    loop {
        if age == begins {
            rig.shutdown.cancel();
        }
        match rig.poll() {
            // The last bytes are a comment line only if the stream sends nothing else.
            polled if polled == data(":\n") => {
                assert_eq!(rig.poll(), Polled::Pending);
                assert!(rig.feed.is_dropped());
                let reason = rig.leave().reason;
                return (age, Polled::Failed(reason.to_string()));
            }
            Polled::Pending => {}
            polled => return (age, polled),
        }
        assert!(age < 100 * SECOND, "it goes on");
        time::advance(100 * MILLISECOND).await;
        age += 100 * MILLISECOND;
    }
}

#[tokio::test(start_paused = true)]
async fn first_due_end_ends_a_stream() {
    let expired = || failed("expired");
    let never = Duration::MAX;
    let half = 500 * MILLISECOND;
    for (drain, begins, client, over, expected) in [
        (Drain::per_client(), never, Requester::EventSource, 15 * SECOND, expired()),
        (Drain::per_client(), never, Requester::Post, 45 * SECOND, expired()),
        (Drain::at_once(), never, Requester::EventSource, 15 * SECOND, expired()),
        (Drain::per_client(), 2 * SECOND, Requester::EventSource, 7 * SECOND, data(RETRY)),
        (Drain::per_client(), 2 * SECOND, Requester::Post, 37 * SECOND, data(RETRY)),
        // A stream that expires while it is drained gets the farewell of the drain.
        (Drain::per_client(), 20 * SECOND, Requester::Post, 45 * SECOND, data(RETRY)),
        (Drain::after(3 * SECOND), 2 * SECOND, Requester::EventSource, 10 * SECOND, data(RETRY)),
        (Drain::after(20 * SECOND), 2 * SECOND, Requester::EventSource, 15 * SECOND, data(RETRY)),
        (Drain::after(20 * SECOND), 2 * SECOND, Requester::Post, 27 * SECOND, data(RETRY)),
        (Drain::never(), 2 * SECOND, Requester::EventSource, 15 * SECOND, expired()),
        (Drain::at_once(), 2 * SECOND, Requester::EventSource, 2 * SECOND + half, data(RETRY)),
        // A source that is due by its age may complete its event; only `at_once` waits for less
        // time.
        (Drain::at_once(), 11 * SECOND, Requester::EventSource, 11 * SECOND + half, data(RETRY)),
        (Drain::at_once(), 32 * SECOND, Requester::Post, 32 * SECOND + half, data(RETRY)),
        (Drain::at_once(), 41 * SECOND, Requester::Post, 41 * SECOND + half, data(RETRY)),
        (Drain::per_client(), 11 * SECOND, Requester::EventSource, 15 * SECOND, data(RETRY)),
        (Drain::spread_over(SECOND), 11 * SECOND, Requester::EventSource, 15 * SECOND, data(RETRY)),
        (Drain::after(SECOND), 11 * SECOND, Requester::EventSource, 15 * SECOND, data(RETRY)),
        (Drain::never(), 11 * SECOND, Requester::EventSource, 15 * SECOND, expired()),
    ] {
        let name = format!("{drain:?} at {begins:?}, {client:?}");
        assert_eq!(over_at(drain, begins, client).await, (over, expected), "{name}");
    }
}

/// RFC 10008: it is safe and idempotent, but clients do not repeat it after a clean end.
#[tokio::test(start_paused = true)]
async fn half_the_answer_to_a_query_never_ends_cleanly() {
    let mut request = Requester::EventSource.request("/");
    *request.method_mut() = "QUERY".parse().unwrap();
    let rig = Rig::fed(layer(Drain::per_client()), request);
    let mut rig = rig.begin(b"data: half\n\n");
    rig.shutdown.cancel();
    // It has time to end by itself.
    rig.assert_waits(30 * SECOND).await;
    assert_eq!(rig.poll(), data(GOODBYE));
    rig.assert_fails(CloseReason::Drained).await;
}

/// At 14.8 seconds 200 milliseconds are left, and not half a second.
#[tokio::test(start_paused = true)]
async fn no_drain_extends_a_streams_time() {
    let (over, _) = over_at(Drain::at_once(), 14_800 * MILLISECOND, Requester::EventSource).await;
    assert_eq!(over, 15 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn response_can_have_a_drain_of_its_own() {
    for (of_layer, of_response, delay) in [
        (Drain::never(), Drain::at_once(), Some(Duration::ZERO)),
        (Drain::at_once(), Drain::after(7 * SECOND), Some(7 * SECOND)),
        (Drain::spread_over(SECOND), Drain::after(7 * SECOND), Some(7 * SECOND)),
        (Drain::at_once(), Drain::never(), None),
    ] {
        let options = StreamOptions::new().drain(of_response);
        let mut rig = Rig::with_options(layer(of_layer), options).begin(b"");
        rig.shutdown.cancel();
        match delay {
            Some(Duration::ZERO) => {}
            Some(delay) => rig.assert_waits(delay).await,
            None => {
                rig.assert_waits(3_600 * SECOND).await;
                assert_eq!(rig.poll(), Polled::Pending);
                continue;
            }
        }
        let Polled::Data(goodbye) = rig.poll() else { panic!("no goodbye") };
        assert!(goodbye.starts_with(b"retry: "));
        rig.assert_ends(CloseReason::Drained);
    }
}

#[tokio::test(start_paused = true)]
async fn parent_of_the_servers_token_works_too() {
    let process = CancellationToken::new();
    let layer: SseLayer = layer(Drain::per_client()).shutdown(process.child_token());
    let (feed, mut body) = fed_to(Requester::EventSource.request("/"), &layer);
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    process.cancel();
    assert_eq!(poll_frame(&mut body), data(GOODBYE));
    assert!(feed.is_dropped());
    assert_eq!(poll_frame(&mut body), Polled::End);
}

#[tokio::test(start_paused = true)]
async fn grace_may_have_any_length() {
    for grace in [longest_wait(), longest_wait() - MILLISECOND, longest_wait() / 2, Duration::MAX] {
        for drain in [Drain::after(grace), Drain::spread_over(grace)] {
            let mut rig = Rig::draining(b"data: a\n\n", layer(drain), Requester::EventSource);
            rig.idle(3_600 * SECOND).await;
            assert_eq!(rig.poll(), Polled::Pending);
        }
    }
}
