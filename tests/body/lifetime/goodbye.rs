//! Farewell and reconnection time of a stream that the shutdown ends.

use crate::{rig::*, *};

#[tokio::test(start_paused = true)]
async fn reconnection_time_of_the_drain_replaces_that_of_the_layer() {
    let short = Retry::between(300 * MILLISECOND, 900 * MILLISECOND);
    let mut rig = Rig::starting(SseLayer::new().retry(short), Requester::EventSource);
    let mut received = Vec::new();
    let mut receive = |polled| match polled {
        Polled::Data(bytes) => received.extend(bytes),
        other => assert_eq!(other, Polled::End),
    };
    receive(rig.poll());
    rig.feed.data("data: a\n\n");
    receive(rig.poll());
    rig.shutdown.cancel();
    receive(rig.poll());
    rig.assert_ends(CloseReason::Drained);
    let (mut decoder, mut received) = (Decoder::new(), &*received);
    while decoder.decode(&mut received).unwrap().is_some() {}
    let retry = decoder.retry().unwrap().as_millis();
    assert!((2_000..=10_000).contains(&retry), "{retry}");
}

#[tokio::test(start_paused = true)]
async fn response_can_have_another_farewell_or_none() {
    let (new, at_once) = (StreamOptions::new, Drain::at_once);
    for (options, expected) in [
        (new(), GOODBYE),
        (new().farewell(Event::from("tschüs")), "retry: 3000\ndata: tschüs\n\n"),
        (new().without_farewell(), RETRY),
        (new().drain(at_once().retry(SECOND)), "retry: 1000\nevent: bye\ndata: see you\n\n"),
    ] {
        let name = format!("{options:?}");
        let mut rig = Rig::with_options(layer(Drain::at_once()), options);
        rig.shutdown.cancel();
        assert_eq!(rig.poll(), data(expected), "{name}");
        rig.assert_ends(CloseReason::Drained);
    }
}

#[tokio::test(start_paused = true)]
async fn stream_that_ends_within_its_grace_gets_its_terminator_and_no_farewell() {
    let aging = layer(Drain::per_client()).max_age(MaxAge::new(SECOND));
    for (layer, client) in
        [(layer(Drain::after(30 * SECOND)), Requester::EventSource), (aging, Requester::Post)]
    {
        let _case = case(format!("{client:?}"));
        let mut rig = Rig::after(b"data: a\n\n", layer, client);
        if client == Requester::EventSource {
            rig.shutdown.cancel();
            assert_eq!(rig.poll(), Polled::Pending);
        } else {
            time::advance(SECOND).await;
        }
        time::advance(29 * SECOND).await;
        assert_eq!(rig.poll(), Polled::Pending);
        rig.feed.end();
        rig.assert_ends_with("data: [DONE]\n\n", CloseReason::Ended);
    }
}

#[tokio::test(start_paused = true)]
async fn due_source_that_ends_or_fails_mid_event_gets_no_farewell() {
    for fails in [false, true] {
        let mut rig =
            Rig::draining(b"data: a\n", layer(Drain::per_client()), Requester::EventSource);
        assert_eq!(rig.poll(), Polled::Pending);
        if fails {
            rig.feed.fail("broken");
            assert_eq!(rig.poll(), data(": \n"));
            rig.idle(20 * MILLISECOND).await;
            assert_eq!(rig.poll(), failed("broken"));
            assert_eq!(rig.reason(), Some(CloseReason::Failed));
        } else {
            rig.feed.end();
            rig.assert_ends(CloseReason::Ended);
        }
        assert_eq!(rig.poll(), Polled::End);
    }
}

#[tokio::test(start_paused = true)]
async fn preamble_comes_before_the_farewell() {
    let layer = layer(Drain::per_client()).padding(2).retry(Retry::fixed(SECOND));
    let mut rig = Rig::starting(layer, Requester::Get);
    rig.shutdown.cancel();
    assert_eq!(rig.poll(), data("retry: 1000\n: \n"));
    rig.assert_ends_with(GOODBYE, CloseReason::Drained);
    assert_eq!(rig.feed.polls(), 0);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_continue_while_a_source_completes_its_event() {
    let layer = layer(Drain::per_client()).heartbeat(Heartbeat::every(2 * SECOND));
    let mut rig = Rig::draining(b"data: a\r", layer, Requester::EventSource);
    rig.idle(2 * SECOND + 125 * MILLISECOND).await;
    rig.assert_polls([data(": \r"), Polled::Pending]);
    rig.feed.data("\n\r\ndata: b\n");
    assert_eq!(rig.poll(), data("\n\r\n"));
    rig.assert_ends_with(GOODBYE, CloseReason::Drained);
    assert_eq!(rig.closed().unwrap().heartbeats, 1);
}

/// Some clients reject a block with two `retry` lines.
#[tokio::test(start_paused = true)]
async fn reconnection_time_of_a_farewell_replaces_that_of_the_drain() {
    let farewell = Event::new().retry(2 * SECOND).data("bye");
    let layer = layer(Drain::at_once()).farewell(farewell);
    let mut rig = Rig::draining(b"data: a\n\n", layer, Requester::EventSource);
    rig.assert_ends_with("retry: 2000\ndata: bye\n\n", CloseReason::Drained);
}
