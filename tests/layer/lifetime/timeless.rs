//! Outside of a runtime there is no timer, but a shutdown still ends streams.

use std::{thread, time::Duration};

use tower_sse::{CloseReason, Drain, MaxAge};

use crate::rig::*;

const CUT: &str = "the event stream was cut short: drained";

fn assert_cut(rig: &mut Rig, client: Requester) {
    if client.is_cut_by_failing() {
        assert_eq!(rig.poll(), failed(CUT));
    }
    rig.assert_ends(CloseReason::Drained);
}

#[test]
fn without_a_timer_a_shutdown_wakes_the_task_and_ends_streams_at_once() {
    for client in Requester::ALL {
        for layer in [
            layer(Drain::per_client()),
            layer(Drain::at_once()),
            layer(Drain::spread_over(SECOND)),
            layer(Drain::after(SECOND)),
            // There is no maximum age either.
            layer(Drain::per_client()).max_age(MaxAge::new(Duration::from_nanos(1))),
        ] {
            let mut rig = Rig::after(b"data: a\n\n", layer, client);
            rig.passes("data: b\n\n");
            assert_eq!(rig.poll(), Polled::Pending);
            rig.wakes.take();
            let shutdown = rig.shutdown.clone();
            thread::spawn(move || shutdown.cancel()).join().unwrap();
            assert_eq!(rig.wakes.take(), 1);
            assert_eq!(rig.poll(), data(GOODBYE));
            assert!(rig.feed.is_dropped());
            assert_cut(&mut rig, client);
        }
    }
}

/// Without a timer the wait has no limit.
#[test]
fn without_a_timer_a_source_may_complete_its_event() {
    for client in Requester::ALL {
        let mut rig = Rig::draining(b"data: a", layer(Drain::at_once()), client);
        for _ in 0..3 {
            assert_eq!(rig.poll(), Polled::Pending);
        }
        rig.feed.data("b\n\ndata: c\n\n");
        rig.assert_polls([data("b\n\n"), data(GOODBYE)]);
        assert_cut(&mut rig, client);
    }
}

#[test]
fn without_a_timer_a_stream_that_never_drains_goes_on() {
    let mut rig = Rig::draining(b"data: a\n\n", layer(Drain::never()), Requester::EventSource);
    assert_eq!(rig.poll(), Polled::Pending);
    rig.feed.end();
    rig.assert_ends_with("data: [DONE]\n\n", CloseReason::Ended);
}
