//! A body that waits wakes its task when the stream has to end: otherwise the task would not poll
//! the body.

use crate::{rig::*, *};

impl Rig {
    async fn assert_wakes_after(&mut self, time: Duration) {
        assert_eq!(self.poll(), Polled::Pending);
        self.wakes.take();
        time::advance(time - MILLISECOND).await;
        assert_eq!(self.wakes.take(), 0, "woken before {time:?}");
        time::advance(MILLISECOND).await;
        assert_eq!(self.wakes.take(), 1, "not woken after {time:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn task_is_woken_when_its_stream_is_due() {
    let max_age = MaxAge::new(60 * SECOND);
    for (drain, begins, client, due) in [
        (Drain::after(20 * SECOND), true, Requester::EventSource, 20 * SECOND),
        (Drain::per_client(), true, Requester::Post, 30 * SECOND),
        (Drain::per_client(), false, Requester::EventSource, 60 * SECOND),
        (Drain::per_client(), false, Requester::Post, 90 * SECOND),
        (Drain::never(), true, Requester::EventSource, 60 * SECOND),
        (Drain::after(3_600 * SECOND), true, Requester::EventSource, 60 * SECOND),
    ] {
        let layer = layer(drain).max_age(max_age.clone());
        let mut rig = Rig::after(b"data: a\n\n", layer, client);
        if begins {
            rig.shutdown.cancel();
        }
        rig.assert_wakes_after(due).await;
        assert_ne!(rig.poll(), Polled::Pending);
        assert!(rig.feed.is_dropped(), "{client:?} goes on after {due:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn task_is_woken_after_the_wait_for_an_event_and_an_error() {
    for (drain, client, patience) in [
        (Drain::per_client(), Requester::EventSource, 5 * SECOND),
        (Drain::at_once(), Requester::Post, 500 * MILLISECOND),
    ] {
        let mut rig = Rig::draining(b"data: a", layer(drain), client);
        rig.assert_wakes_after(patience).await;
        rig.assert_wakes_after(20 * MILLISECOND).await;
        assert!(matches!(rig.poll(), Polled::Failed(_)));
    }
    let aging = layer(Drain::per_client()).max_age(MaxAge::new(SECOND));
    let mut rig = Rig::after(b"data: a\n", aging, Requester::Get);
    rig.assert_wakes_after(SECOND).await;
    rig.assert_wakes_after(5 * SECOND).await;
    assert_eq!(rig.poll(), data(": \n"));
    rig.assert_wakes_after(20 * MILLISECOND).await;
    assert!(matches!(rig.poll(), Polled::Failed(_)));
}

/// A stream that has reached its maximum age waits for the end of its event. A shutdown with
/// `Drain::at_once` shortens that wait and wakes the task.
#[tokio::test(start_paused = true)]
async fn task_is_woken_by_the_earlier_of_two_deadlines() {
    let aging = layer(Drain::at_once()).max_age(MaxAge::new(10 * SECOND));
    let mut rig = Rig::after(b"data: a", aging, Requester::EventSource);
    rig.assert_wakes_after(10 * SECOND).await;
    rig.idle(SECOND).await;
    assert_eq!(rig.wakes.take(), 0);
    rig.shutdown.cancel();
    assert_eq!(rig.wakes.take(), 1);
    rig.assert_wakes_after(500 * MILLISECOND).await;
    rig.assert_fails(CloseReason::Drained).await;
}

#[tokio::test(start_paused = true)]
async fn event_that_a_due_stream_waits_for_wakes_the_task() {
    let mut rig = Rig::draining(b"data: a", layer(Drain::per_client()), Requester::EventSource);
    assert_eq!(rig.poll(), Polled::Pending);
    rig.wakes.take();
    rig.feed.data("\n\n");
    assert_eq!(rig.wakes.take(), 1);
    rig.assert_polls([data("\n\n"), data(GOODBYE)]);
}

#[tokio::test(start_paused = true)]
async fn task_that_polled_last_is_woken() {
    for begins in [true, false] {
        let layer = layer(Drain::per_client()).max_age(MaxAge::new(60 * SECOND));
        let mut rig = Rig::after(b"data: a\n\n", layer, Requester::EventSource);
        let last = Arc::new(Wakes::default());
        let polled = poll_frame_with(&mut rig.body, &Waker::from(Arc::clone(&last)));
        assert_eq!(polled, Polled::Pending);
        if begins {
            rig.shutdown.cancel();
        } else {
            time::advance(60 * SECOND).await;
        }
        assert_eq!((rig.wakes.take(), last.take()), (0, 1));
    }
}
