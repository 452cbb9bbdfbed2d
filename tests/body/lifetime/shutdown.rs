//! When the shutdown ends streams, by the drain of the layer or of the response, and with a maximum
//! age or a grace.

use crate::{rig::*, *};

/// Returns the age at which a mid-event stream is over if the shutdown begins at the age `begins`,
/// and what the stream sends then. The stream's maximum age is 10 seconds.
async fn over_at(drain: Drain, begins: Duration, client: Requester) -> (Duration, Polled) {
    let layer = layer(drain).max_age(MaxAge::new(10 * SECOND));
    let mut rig = Rig::after(b"data: a\n", layer, client);
    let mut age = Duration::ZERO;
    loop {
        if age == begins {
            rig.shutdown.cancel();
        }
        match rig.poll() {
            // A comment line is the last line only if no `retry` line is sent.
            polled if polled == data(": \n") => {
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
        // A stream that is due by its age during a shutdown gets the drain's `retry` line.
        (Drain::per_client(), 20 * SECOND, Requester::Post, 45 * SECOND, data(RETRY)),
        (Drain::after(3 * SECOND), 2 * SECOND, Requester::EventSource, 10 * SECOND, data(RETRY)),
        (Drain::after(20 * SECOND), 2 * SECOND, Requester::EventSource, 15 * SECOND, data(RETRY)),
        (Drain::after(20 * SECOND), 2 * SECOND, Requester::Post, 27 * SECOND, data(RETRY)),
        (Drain::never(), 2 * SECOND, Requester::EventSource, 15 * SECOND, expired()),
        (Drain::at_once(), 2 * SECOND, Requester::EventSource, 2 * SECOND + half, data(RETRY)),
        // A stream that is due by its age waits 5 seconds for the end of its event. Only `at_once`
        // shortens that.
        (Drain::at_once(), 11 * SECOND, Requester::EventSource, 11 * SECOND + half, data(RETRY)),
        (Drain::at_once(), 32 * SECOND, Requester::Post, 32 * SECOND + half, data(RETRY)),
        (Drain::at_once(), 41 * SECOND, Requester::Post, 41 * SECOND + half, data(RETRY)),
        (Drain::per_client(), 11 * SECOND, Requester::EventSource, 15 * SECOND, data(RETRY)),
        (Drain::spread_over(SECOND), 11 * SECOND, Requester::EventSource, 15 * SECOND, data(RETRY)),
        (Drain::after(SECOND), 11 * SECOND, Requester::EventSource, 15 * SECOND, data(RETRY)),
        (Drain::never(), 11 * SECOND, Requester::EventSource, 15 * SECOND, expired()),
        // 200 milliseconds of the 5 seconds are left, which is less than `at_once` would wait.
        (Drain::at_once(), 14_800 * MILLISECOND, Requester::EventSource, 15 * SECOND, data(RETRY)),
    ] {
        let name = format!("{drain:?} at {begins:?}, {client:?}");
        assert_eq!(over_at(drain, begins, client).await, (over, expected), "{name}");
    }
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
async fn grace_may_have_any_length() {
    for grace in [longest_wait(), longest_wait() - MILLISECOND, longest_wait() / 2, Duration::MAX] {
        for drain in [Drain::after(grace), Drain::spread_over(grace)] {
            let mut rig = Rig::draining(b"data: a\n\n", layer(drain), Requester::EventSource);
            rig.idle(3_600 * SECOND).await;
            assert_eq!(rig.poll(), Polled::Pending);
        }
    }
}
