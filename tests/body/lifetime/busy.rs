//! Sources that never let a body wait, or use up the coop budget of its task.

use crate::{rig::*, *};

fn always(
    frame: &'static [u8],
) -> StreamBody<impl futures_util::Stream<Item = Result<Frame<Bytes>, BoxError>>> {
    StreamBody::new(stream::repeat_with(move || Ok(Frame::data(Bytes::from_static(frame)))))
}

/// Reads to the end without keeping a frame, in a task that is never idle while the clock advances.
/// Returns the last bytes and whether the end was clean.
async fn last_bytes<B>(rig: &mut Rig<B>) -> (Bytes, bool)
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let body = &mut rig.body;
    while_the_clock_runs(600 * SECOND, async {
        let mut last = Bytes::new();
        loop {
            match body.frame().await {
                Some(Ok(frame)) => last = Bytes::copy_from_slice(&frame.into_data().unwrap()),
                Some(Err(_)) => break (last, false),
                None => break (last, true),
            }
        }
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn endless_event_is_cut_when_the_wait_for_its_end_is_over() {
    for (frame, aged, drained) in [
        (&b"data: a\n"[..], ": \n", RETRY),
        (b"a", "a", "a"),
        (b"data: a\r", "\n: \n", "\nretry: 3000\n"),
    ] {
        for aging in [true, false] {
            let layer = match aging {
                true => layer(Drain::never()).max_age(MaxAge::new(SECOND)),
                false => layer(Drain::per_client()),
            };
            let mut rig = Rig::of(layer, Requester::EventSource, event_stream(always(frame)));
            assert!(matches!(rig.poll(), Polled::Data(_)));
            rig.shutdown.cancel();
            let (read, clean) = last_bytes(&mut rig).await;
            assert!(!clean, "half an event looks like a whole one");
            if aging {
                assert_eq!(read, aged);
                assert_eq!(rig.reason(), Some(CloseReason::Expired));
            } else {
                assert_eq!(read, drained);
                assert_eq!(rig.reason(), Some(CloseReason::Drained));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn busy_source_without_bytes_is_drained_and_reaches_its_maximum_age() {
    for aging in [true, false] {
        let layer = match aging {
            true => layer(Drain::never()).max_age(MaxAge::new(SECOND)),
            false => layer(Drain::after(SECOND)),
        };
        let mut frames = Rig::of(layer.clone(), Requester::EventSource, event_stream(always(b"")));
        let events = tower_sse::response(stream::repeat_with(Event::new));
        let mut events = Rig::of(layer, Requester::EventSource, events);
        frames.shutdown.cancel();
        events.shutdown.cancel();
        let expected = if aging { "" } else { GOODBYE };
        assert_eq!(last_bytes(&mut frames).await, (Bytes::from(expected), true));
        assert_eq!(last_bytes(&mut events).await, (Bytes::from(expected), true));
    }
}

/// Returns a response whose source calls `spend` at each poll, to spend the task's coop budget, and
/// is then pending.
fn spendthrift(
    mut spend: impl FnMut(&mut Context<'_>) + Unpin,
) -> Response<impl Body<Data = Bytes, Error = BoxError> + Unpin> {
    let frames = stream::poll_fn(move |cx| {
        spend(cx);
        Poll::<Option<Result<Frame<Bytes>, BoxError>>>::Pending
    });
    event_stream(StreamBody::new(frames))
}

fn spend_all(cx: &mut Context<'_>) {
    while let Poll::Ready(unit) = coop::poll_proceed(cx) {
        unit.made_progress();
    }
}

#[tokio::test(start_paused = true)]
async fn source_that_uses_up_the_coop_budget_hides_neither_shutdown_nor_age() {
    for client in Requester::ALL {
        let rig = |layer| Rig::of(layer, client, spendthrift(spend_all));
        let mut drained = rig(layer(Drain::after(SECOND)));
        drained.shutdown.cancel();
        assert_eq!(last_bytes(&mut drained).await, (GOODBYE.into(), !client.is_cut_by_failing()));
        assert_eq!(drained.reason(), Some(CloseReason::Drained));

        let mut aged = rig(layer(Drain::never()).max_age(MaxAge::new(SECOND)));
        let expected = if client.is_cut_by_failing() { (": \n", false) } else { ("", true) };
        assert_eq!(last_bytes(&mut aged).await, (expected.0.into(), expected.1));
        assert_eq!(aged.reason(), Some(CloseReason::Expired));
    }
}

/// Spends the whole budget without an attempt to spend more, which would wake the task.
fn spend_exactly(cx: &mut Context<'_>) {
    while coop::has_budget_remaining() {
        if let Poll::Ready(unit) = coop::poll_proceed(cx) {
            unit.made_progress();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn task_sleeps_until_its_stream_is_due_without_budget_for_its_source() {
    let layer = layer(Drain::after(SECOND)).max_age(MaxAge::new(3_600 * SECOND));
    let mut rig = Rig::of(layer, Requester::EventSource, spendthrift(spend_exactly));
    for begins in [false, true] {
        if begins {
            rig.shutdown.cancel();
            assert_eq!(rig.wakes.take(), 1);
        }
        assert_eq!(rig.poll(), Polled::Pending);
        tokio::task::yield_now().await;
        assert_eq!(rig.wakes.take(), 0, "woken for nothing");
    }
    time::advance(SECOND).await;
    assert_eq!(rig.wakes.take(), 1);
    assert_eq!(rig.poll(), data(GOODBYE));
}

/// Another body in the same task may use up the budget before each poll. With 40,000 events, the
/// layer still holds the rest of a huge frame.
#[tokio::test(start_paused = true)]
async fn cutting_a_stream_needs_no_coop_budget() {
    for events in [1, 40_000] {
        let mut rig = Rig::after(b"", layer(Drain::at_once()), Requester::EventSource);
        rig.feed.data("data: \n\n".repeat(events));
        assert!(
            matches!(rig.poll(), Polled::Data(piece) if piece.len() == (8 * events).min(256 << 10))
        );
        rig.shutdown.cancel();
        tokio::task::yield_now().await;
        spend_all(&mut Context::from_waker(Waker::noop()));
        assert_eq!(rig.poll(), data(GOODBYE), "{events} events");
        tokio::task::yield_now().await;
        rig.assert_ends(CloseReason::Drained);
    }
}
