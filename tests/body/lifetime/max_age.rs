//! The maximum age of a stream.

use super::causes::assert_ends_evenly;
use crate::{rig::*, *};

const AGE: Duration = Duration::from_secs(60);

fn aging(max_age: MaxAge) -> SseLayer {
    layer(Drain::per_client()).max_age(max_age)
}

#[tokio::test(start_paused = true)]
async fn age_is_counted_from_the_first_poll() {
    let mut rig = Rig::new(aging(MaxAge::new(AGE)), Requester::EventSource);
    time::advance(10 * AGE).await;
    rig.assert_waits(AGE).await;
    rig.assert_ends(CloseReason::Expired);
}

#[tokio::test(start_paused = true)]
async fn jitter_spreads_ages_evenly_to_both_sides() {
    let layer = aging(MaxAge::new(100 * SECOND).jitter(0.1));
    let mut rigs: Vec<_> =
        (0..1_000).map(|_| Rig::after(b"", layer.clone(), Requester::EventSource)).collect();
    time::advance(90 * SECOND - MILLISECOND).await;
    assert!(rigs.iter_mut().all(|rig| rig.poll() == Polled::Pending), "too young");
    time::advance(MILLISECOND).await;
    assert_ends_evenly(rigs, 20 * SECOND).await;
}

async fn assert_expires(mut rig: Rig, client: Requester) {
    if client.is_cut_by_failing() {
        assert_eq!(rig.poll(), data(": \n"));
    }
    rig.assert_cut(client, CloseReason::Expired).await;
}

async fn ends_before_its_source_is_polled(client: Requester) {
    let rig = Rig::new(aging(MaxAge::new(Duration::ZERO)), client);
    let source = rig.feed.clone();
    source.data("data: secret\n\n");
    assert_expires(rig, client).await;
    assert_eq!(source.polls(), 0);
}

/// If a client's token has expired, its stream may send no event of the source, not even within the
/// grace of a call.
#[tokio::test(start_paused = true)]
async fn stream_of_age_zero_ends_before_its_source_is_polled() {
    for client in Requester::ALL {
        ends_before_its_source_is_polled(client).await;
    }
    // Timers tick every millisecond, and the first poll rarely falls on a tick.
    time::advance(Duration::from_micros(500)).await;
    ends_before_its_source_is_polled(Requester::EventSource).await;
}

#[tokio::test]
async fn stream_of_age_zero_ends_at_its_first_poll_by_real_time() {
    ends_before_its_source_is_polled(Requester::EventSource).await;
}

#[tokio::test(start_paused = true)]
async fn preamble_is_sent_at_any_age() {
    let layer = aging(MaxAge::new(Duration::ZERO)).retry(Retry::fixed(SECOND));
    let mut rig = Rig::starting(layer, Requester::EventSource);
    rig.assert_ends_with("retry: 1000\n", CloseReason::Expired);
    assert_eq!(rig.feed.polls(), 0);
}

#[tokio::test(start_paused = true)]
async fn unrepresentable_age_is_no_limit() {
    let greatest = longest_wait();
    for age in [Duration::MAX, Duration::from_secs(u64::MAX / 4), greatest / 2, greatest] {
        for max_age in [MaxAge::new(age), MaxAge::new(age).jitter(1.0)] {
            for client in Requester::ALL {
                let mut rig = Rig::new(aging(max_age.clone()), client);
                rig.idle(1_000_000 * SECOND).await;
                rig.passes("data: a\n\n");
                assert_eq!(rig.poll(), Polled::Pending);
            }
        }
    }
}

/// In the last case, only the response has a maximum age.
#[tokio::test(start_paused = true)]
async fn response_can_have_a_shorter_age() {
    let layer = || aging(MaxAge::new(AGE));
    for (layer, options, expected) in [
        (layer(), StreamOptions::new().max_age(MaxAge::new(AGE / 2)), AGE / 2),
        (layer(), StreamOptions::new().max_age(MaxAge::new(2 * AGE)), AGE),
        (SseLayer::new().without_heartbeat(), StreamOptions::new().max_age(AGE), AGE),
    ] {
        let _case = case(format!("{options:?}"));
        let mut rig = Rig::with_options(layer, options);
        rig.assert_waits(expected).await;
        rig.assert_ends(CloseReason::Expired);
    }
}

fn rig_of(client: Requester, in_request: StreamOptions, in_response: StreamOptions) -> Rig {
    let mut request = client.request("/");
    in_request.merge_into_extensions(request.extensions_mut());
    Rig::answering(aging(MaxAge::new(4 * AGE)), request, |answer| answer.with_options(in_response))
}

#[tokio::test(start_paused = true)]
async fn no_handler_outlives_the_age_of_its_request() {
    let token = || StreamOptions::new().max_age(MaxAge::new(AGE).grace(Duration::ZERO));
    for client in Requester::ALL {
        for in_response in [
            StreamOptions::new(),
            StreamOptions::new().max_age(2 * AGE),
            // For a GET, this is the request's age. A call has the grace too, so its stream could
            // go on for longer.
            StreamOptions::new().max_age(MaxAge::new(AGE).grace(AGE)),
        ] {
            let _case = case(format!("{client:?}, {in_response:?}"));
            let mut rig = rig_of(client, token(), in_response);
            rig.passes("data: a\n\n");
            rig.idle(AGE - MILLISECOND).await;
            assert_eq!(rig.poll(), Polled::Pending);
            time::advance(2 * MILLISECOND).await;
            assert_expires(rig, client).await;
        }
        let at_once = StreamOptions::new().max_age(Duration::ZERO);
        assert_expires(rig_of(client, token(), at_once), client).await;
    }
}
