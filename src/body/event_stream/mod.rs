//! The event stream inside an [`SseBody`](super::SseBody). This file polls the source
//! and returns its bytes. [`beginning`] and [`heartbeat`] write the layer's lines; [`ending`] decides
//! when the stream ends, and in which way.

mod beginning;
mod ending;
mod heartbeat;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use pin_project_lite::pin_project;

use super::{Boundary, Deadline, IdleTimer, LastFrames, Shutdown, StreamRecord, deadline::Verdict};
use crate::{
    BoxError,
    connection::{Client, CloseReason},
    coop::CoopBudget,
    options::ResolvedOptions,
    signals::within_layer,
    streams::Membership,
};

/// A source's event stream, and the lines that the layer writes between the source's bytes.
///
/// It borrows the source and the state from a [`ManagedBody`](super::managed_body::ManagedBody),
/// which stores them apart.
pub(super) struct EventStream<'p, B> {
    source: Pin<&'p mut Option<B>>,
    state: Pin<&'p mut StreamState>,
}

pin_project! {
    /// The state of an event stream besides its source.
    // `repr(C)` places the fields used for every event next to each other, so that an event touches
    // few cache lines. These fields go from the end of `record` to the start of `idle`.
    #[repr(C)]
    #[project = StateProj]
    pub(crate) struct StreamState {
        record: StreamRecord,
        phase: Phase,
        // Boxed, because most streams have none.
        deadline: Option<Box<Deadline>>,
        options: Arc<ResolvedOptions>,
        boundary: Boundary,
        client: Client,
        budget: CoopBudget,
        #[pin]
        idle: IdleTimer,
    }
}

enum Phase {
    Beginning(Shutdown),
    Open,
    /// The stream is open. A result was polled early, or the rest of a large frame is yet to be
    /// sent.
    Holding(Box<Polled>),
    Ending(LastFrames),
}

/// The ready result of polling a body.
type Polled = Option<Result<Frame<Bytes>, BoxError>>;

/// The size in bytes of the pieces into which larger frames of the source are split. Reading the
/// lines of a 16 MiB frame in one piece took 71 ms, during which no other task ran on the thread.
const LARGEST_PIECE: usize = 256 * 1024;

impl StreamState {
    pub(crate) fn new(
        has_content_coding: bool,
        options: Arc<ResolvedOptions>,
        shutdown: Shutdown,
        client: Client,
        membership: Option<Membership>,
        record: StreamRecord,
    ) -> Self {
        Self {
            idle: IdleTimer::default(),
            // Created here, because the program can close the stream before its first poll.
            deadline: Deadline::before_start(&options, client, membership),
            boundary: if has_content_coding { Boundary::opaque() } else { Boundary::default() },
            phase: Phase::Beginning(shutdown),
            budget: CoopBudget::default(),
            options,
            client,
            record,
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(&self.phase, Phase::Ending(ending) if ending.is_over())
    }
}

impl<'p, B> EventStream<'p, B> {
    pub(super) const fn new(
        source: Pin<&'p mut Option<B>>,
        state: Pin<&'p mut StreamState>,
    ) -> Self {
        Self { source, state }
    }

    /// Drops what must be dropped before the state, whose drop reports the close.
    pub(super) fn abandon(mut self) {
        let state = self.state();
        // The client did not read, so the end could not be sent.
        if state.deadline.as_ref().is_some_and(|deadline| deadline.is_revoked()) {
            state.record.set_reason_if_dropped(CloseReason::Revoked);
        }
        let _deadline = state.deadline.take();
        self.source.set(None);
    }

    fn state(&mut self) -> StateProj<'_> {
        self.state.as_mut().project()
    }
}

impl<B> EventStream<'_, B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    #[inline]
    pub(super) fn poll_frame(mut self, cx: &mut Context<'_>) -> Poll<Polled> {
        // Check the deadline even without budget: a task that spends all of it elsewhere must not
        // keep the stream open past the shutdown.
        if CoopBudget::poll_ready(cx).is_pending() && !self.must_be_cut_now(cx) {
            return Poll::Pending;
        }
        let polled = ready!(self.poll_phase(cx));
        let this = self.state();
        if let Some(Ok(frame)) = &polled
            && let Some(data) = frame.data_ref()
        {
            this.record.count_frame(data);
        }
        if let Phase::Ending(ending) = this.phase {
            if let Some(reason) = ending.reason() {
                this.record.reason = reason;
            }
            if ending.is_over() {
                this.record.close();
            }
        }
        Poll::Ready(polled)
    }

    fn poll_phase(&mut self, cx: &mut Context<'_>) -> Poll<Polled> {
        loop {
            match self.state().phase {
                Phase::Beginning(_) => {
                    let preamble = self.begin_stream(cx);
                    if !preamble.is_empty() {
                        return Poll::Ready(Some(Ok(self.interject(&preamble))));
                    }
                }
                Phase::Open | Phase::Holding(_) => {
                    if let Some(frame) = ready!(self.poll_open(cx)) {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
                Phase::Ending(ending) => return ending.poll_frame(cx),
            }
        }
    }

    /// Returns the source's next result, which may have been polled early.
    #[inline(always)]
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Polled> {
        let state = self.state.as_mut().project();
        if let Phase::Holding(result) = state.phase {
            let result = result.take();
            *state.phase = Phase::Open;
            return Poll::Ready(result);
        }
        let Some(source) = self.source.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let polled = state.record.reason.noting_panic(|| within_layer(|| source.poll_frame(cx)));
        polled.map(|polled| polled.map(|frame| frame.map_err(Into::into)))
    }

    /// Returns the next frame of an open stream, or `None` once the stream is no longer open.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        loop {
            let is_ending = match self.check_deadline(cx) {
                Verdict::Continue => false,
                Verdict::EndBetweenEvents(_) => true,
                Verdict::EndNow(reason) => {
                    self.cut(reason);
                    return Poll::Ready(None);
                }
            };
            match self.poll_source(cx) {
                Poll::Pending => {}
                Poll::Ready(None) => {
                    self.end(None);
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(error))) => {
                    self.fail(error);
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        let data = self.pass(data, is_ending);
                        let this = self.state();
                        if !data.is_empty() {
                            this.budget.spend(cx, data.len());
                            self.reset_idle_timer();
                            return Poll::Ready(Some(Frame::data(data)));
                        }
                        if this.budget.poll_empty(cx).is_ready() {
                            continue;
                        }
                    }
                    Err(frame) => match frame.into_trailers() {
                        Ok(trailers) => {
                            self.end(Some(trailers));
                            return Poll::Ready(None);
                        }
                        Err(frame) => return Poll::Ready(Some(frame)),
                    },
                },
            }
            if let Some(heartbeat) = ready!(self.poll_timers(cx)) {
                return Poll::Ready(Some(heartbeat));
            }
        }
    }

    /// Returns the part of a source's frame to send now, and holds the rest of a large one. If
    /// `is_ending`, cuts it at the first point between events and drops what follows.
    #[inline]
    fn pass(&mut self, mut data: Bytes, is_ending: bool) -> Bytes {
        let this = self.state();
        if data.len() > LARGEST_PIECE && !this.boundary.is_opaque() {
            let rest = data.split_off(LARGEST_PIECE);
            *this.phase = Phase::Holding(Box::new(Some(Ok(Frame::data(rest)))));
        }
        if is_ending { this.boundary.pass_to_first_end(data) } else { this.boundary.pass(data) }
    }

    /// Writes lines of the layer. The stream must be at a line start.
    fn interject(&mut self, lines: &Bytes) -> Frame<Bytes> {
        self.reset_idle_timer();
        Frame::data(self.state().boundary.interject(lines))
    }
}
