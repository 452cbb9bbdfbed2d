use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::EventStream;
use crate::BoxError;

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
        self.state().record.count_heartbeat();
        if self.state().boundary.between_events() {
            return Poll::Ready(self.interject(&lines));
        }
        self.reset_idle_timer();
        Poll::Ready(Frame::data(self.state().boundary.interject_within_event(&lines)))
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
