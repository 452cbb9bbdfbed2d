//! What servers and close reports see of a stream in each of its phases: its size, its end, and its
//! close reason.

use crate::{rig::*, *};

fn is_over(body: &SseBody<FedBody>) -> bool {
    let (over, size) = (body.is_end_stream(), body.size_hint());
    // Servers would send an exact size as the content-length.
    assert_eq!((size.lower(), size.exact()), (0, over.then_some(0)));
    over
}

#[tokio::test(start_paused = true)]
async fn drained_stream_is_over_with_the_last_byte_of_its_farewell() {
    let mut rig = Rig::new(layer(Drain::after(SECOND)), Requester::EventSource);
    assert!(!is_over(&rig.body));
    rig.passes("data: a\n\n");
    assert!(!is_over(&rig.body));
    rig.shutdown.cancel();
    assert!(!is_over(&rig.body));
    assert_eq!(rig.poll(), Polled::Pending);
    assert!(!is_over(&rig.body));
    time::advance(SECOND).await;
    assert!(!is_over(&rig.body));
    assert_eq!(rig.reason(), None);
    assert_eq!(rig.poll(), data(GOODBYE));
    // Once a body is over, HTTP/2 servers do not poll it again.
    assert!(is_over(&rig.body));
    assert_eq!(rig.reason(), Some(CloseReason::Drained));
    assert_eq!(rig.poll(), Polled::End);
    assert!(is_over(&rig.body));
}

#[tokio::test(start_paused = true)]
async fn error_is_delayed_from_the_farewell_on() {
    // The delay counts from the farewell, so a second later the error comes at once.
    let mut rig = Rig::draining(b"data: a\n\n", layer(Drain::at_once()), Requester::Post);
    assert_eq!(rig.poll(), data(GOODBYE));
    rig.idle(SECOND).await;
    assert!(matches!(rig.poll(), Polled::Failed(_)));
}

/// Returns a stream that is due mid-event.
async fn due() -> Rig {
    let mut rig = Rig::draining(b"data: a\n", layer(Drain::at_once()), Requester::EventSource);
    assert_eq!(rig.poll(), Polled::Pending);
    rig
}

#[tokio::test(start_paused = true)]
async fn client_that_leaves_before_the_end_is_decided_is_disconnected() {
    let never_polled = Rig::new(layer(Drain::at_once()), Requester::EventSource);
    never_polled.shutdown.cancel();
    assert_eq!(never_polled.leave().reason, CloseReason::Disconnected);

    let mut in_grace = Rig::draining(b"data: a\n\n", layer(Drain::after(SECOND)), Requester::Get);
    assert_eq!(in_grace.poll(), Polled::Pending);
    assert_eq!(in_grace.leave().reason, CloseReason::Disconnected);

    assert_eq!(due().await.leave().reason, CloseReason::Disconnected);

    let mut ending = due().await;
    ending.feed.data("\ndata: b");
    assert_eq!(ending.poll(), data("\n"));
    assert_eq!(ending.leave().reason, CloseReason::Disconnected);

    let aging = layer(Drain::at_once()).max_age(MaxAge::new(SECOND));
    let mut aged = Rig::after(b"data: a\n", aging, Requester::Get);
    time::advance(SECOND).await;
    assert_eq!(aged.poll(), Polled::Pending);
    assert_eq!(aged.leave().reason, CloseReason::Disconnected);
}

#[tokio::test(start_paused = true)]
async fn client_that_leaves_later_does_not_change_a_decided_end() {
    let mut clean = Rig::draining(b"data: a\n\n", layer(Drain::at_once()), Requester::EventSource);
    assert_eq!(clean.poll(), data(GOODBYE));
    assert_eq!(clean.leave().reason, CloseReason::Drained);

    let mut said = Rig::draining(b"data: a\n\n", layer(Drain::at_once()), Requester::Fetch);
    assert_eq!(said.poll(), data(GOODBYE));
    assert_eq!(said.leave().reason, CloseReason::Drained);

    let mut held_back = due().await;
    time::advance(500 * MILLISECOND).await;
    held_back.assert_polls([data(RETRY), Polled::Pending]);
    assert_eq!(held_back.leave().reason, CloseReason::Drained);

    let aging = layer(Drain::at_once()).max_age(MaxAge::new(SECOND));
    let mut aged = Rig::after(b"data: a\n\n", aging.clone(), Requester::Fetch);
    time::advance(SECOND).await;
    aged.assert_polls([data(": \n"), Polled::Pending]);
    assert_eq!(aged.leave().reason, CloseReason::Expired);

    let mut failed = Rig::after(b"data: a\n", aging, Requester::Get);
    failed.feed.fail("broken");
    failed.assert_polls([data(": \n"), Polled::Pending]);
    failed.shutdown.cancel();
    assert_eq!(failed.leave().reason, CloseReason::Failed);
}

#[tokio::test(start_paused = true)]
async fn trailers_that_the_server_did_not_poll_are_not_counted_as_sent() {
    let trailers = checksum();
    for fetched in [true, false] {
        let mut rig = Rig::after(b"data: a\n\n", layer(Drain::at_once()), Requester::Get);
        rig.feed.trailers(trailers.clone());
        assert_eq!(rig.poll(), data("data: [DONE]\n\n"));
        // The source has already ended, so a shutdown changes nothing.
        rig.shutdown.cancel();
        let reason = if fetched {
            assert_eq!(rig.poll(), Polled::Trailers(trailers.clone()));
            CloseReason::Ended
        } else {
            CloseReason::Disconnected
        };
        assert_eq!(rig.leave().reason, reason);
    }
}

#[tokio::test(start_paused = true)]
async fn source_that_panics_at_the_drain_is_reported_as_panicked() {
    for panics_when_polled in [true, false] {
        let grumpy = (!panics_when_polled).then(|| Grumpy);
        let frames = stream::poll_fn(move |_| {
            assert!(grumpy.is_some(), "in the source");
            Poll::<Option<Result<Frame<Bytes>, BoxError>>>::Pending
        });
        let answer = event_stream(StreamBody::new(frames));
        let mut rig = Rig::of(layer(Drain::at_once()), Requester::EventSource, answer);
        let expected = if panics_when_polled {
            "in the source"
        } else {
            assert_eq!(rig.poll(), Polled::Pending);
            rig.shutdown.cancel();
            "in the destructor"
        };
        let panic = catch_unwind(AssertUnwindSafe(|| rig.poll())).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&expected));
        assert_eq!(rig.leave().reason, CloseReason::Panicked, "{expected}");
    }
}
