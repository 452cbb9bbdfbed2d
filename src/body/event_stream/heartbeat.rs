use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::task::coop;

use super::{EventStream, Phase};
use crate::{BoxError, signals::within_layer_at_heartbeat};

impl<B> EventStream<'_, B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    /// Restarts the pause before the next heartbeat, because the source or the layer sends bytes.
    #[inline]
    pub(super) fn reset_idle_timer(&mut self) {
        self.state().idle.reset();
    }

    /// Returns a heartbeat once one is due and can be written, or `None` once the deadline must be
    /// checked again.
    pub(super) fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        if let Some(deadline) = self.state().deadline
            && deadline.poll_change(cx).is_ready()
        {
            return Poll::Ready(None);
        }
        self.poll_heartbeat(cx).map(Some)
    }

    /// Waits until a heartbeat is due and can be written, and writes it.
    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> Poll<Frame<Bytes>> {
        let lines = ready!(self.poll_heartbeat_lines(cx));
        self.hold_what_comes_with_a_heartbeat(cx);
        self.state().record.count_heartbeat();
        if self.state().boundary.between_events() {
            return Poll::Ready(self.interject(&lines));
        }
        self.reset_idle_timer();
        Poll::Ready(Frame::data(self.state().boundary.interject_within_event(&lines)))
    }

    /// Asks the source, which had nothing, for what it sends with a heartbeat only. It comes next.
    fn hold_what_comes_with_a_heartbeat(&mut self, cx: &mut Context<'_>) {
        let Some(mut source) = self.source.as_mut().as_pin_mut() else { return };
        let state = self.state.as_mut().project();
        // Without budget, a source that is always busy would not be asked.
        let poll = poll_fn(|cx| source.as_mut().poll_frame(cx));
        let mut poll = pin!(coop::unconstrained(poll));
        let polled = state
            .record
            .reason
            .noting_panic(|| within_layer_at_heartbeat(|| poll.as_mut().poll(cx)));
        if let Poll::Ready(polled) = polled {
            let polled = polled.map(|frame| frame.map_err(Into::into));
            *state.phase = Phase::Holding(Box::new(polled));
        }
    }

    /// Waits until a heartbeat is due and can be written, and returns its lines.
    fn poll_heartbeat_lines(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let mut this = self.state();
        let (Some(heartbeat), Some(interval), false) = (
            this.options.heartbeat(),
            this.options.heartbeat_interval(),
            this.boundary.is_opaque(),
        ) else {
            return Poll::Pending;
        };
        loop {
            ready!(this.idle.as_mut().poll_interval(cx, interval));
            if this.boundary.between_events() {
                return Poll::Ready(heartbeat.between_events().clone());
            }
            if this.boundary.at_line_start() {
                return Poll::Ready(heartbeat.comment.clone());
            }
            // No line can be written mid-line, so this heartbeat is skipped.
        }
    }
}
