use std::{
    mem,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Body;

use super::{EventStream, LARGEST_PIECE, Phase, Polled};
use crate::{
    BoxError,
    body::{Deadline, deadline::Verdict},
    event::first_block_has_retry,
};

impl<B> EventStream<'_, B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    /// Opens the stream and returns its first lines.
    #[cold]
    pub(super) fn begin_stream(&mut self, cx: &mut Context<'_>) -> Bytes {
        let this = self.state();
        let shutdown = match mem::replace(this.phase, Phase::Open) {
            Phase::Beginning(shutdown) => shutdown.into_token(),
            _ => None,
        };
        let before = this.deadline.take();
        *this.deadline = Deadline::start(before, this.options, shutdown, *this.client, cx);
        if this.boundary.is_opaque() {
            return Bytes::new();
        }
        if this.options.retry().is_none() || self.must_end(cx) {
            return self.state.options.preamble();
        }
        // Some clients reject a block with two `retry` lines.
        match self.poll_source(cx) {
            Poll::Pending => self.state.options.preamble(),
            Poll::Ready(first) => {
                let has_retry = first_data(&first).is_some_and(first_block_has_retry);
                *self.state().phase = Phase::Holding(Box::new(first));
                if has_retry { self.state.options.padding() } else { self.state.options.preamble() }
            }
        }
    }

    /// Returns whether the deadline requires the stream to end, at this point or at a later one.
    fn must_end(&mut self, cx: &mut Context<'_>) -> bool {
        let this = self.state();
        this.deadline
            .as_mut()
            .is_some_and(|deadline| deadline.check(this.options, cx) != Verdict::Continue)
    }
}

/// Returns the first bytes of the source's first frame.
fn first_data(first: &Polled) -> Option<&[u8]> {
    let data = first.as_ref()?.as_ref().ok()?.data_ref()?;
    Some(data.get(..LARGEST_PIECE).unwrap_or(data))
}
