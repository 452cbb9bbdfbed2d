//! How a stream begins, and how it takes over the answer behind an early head.

use std::task::{Context, Poll};
use std::{mem, sync::Arc};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::EventStream;
use crate::BoxError;
use crate::body::stream_state::{Opening, StreamPhase, first_data, note_own_retry};
use crate::body::{Deadline, LastFrames, deadline::DeadlineVerdict};
use crate::connection::ClientKind;
use crate::idle_timer::IdleTimer;
use crate::options::{Retry, id_line, joined, start_event};
use crate::shutdown::ShutdownWait;

impl<B> EventStream<'_, B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    /// Opens the stream and returns the layer's first lines, if any. If the client has received
    /// everything, begins the stream's end instead.
    #[cold]
    pub(super) fn begin_stream(&mut self, cx: &mut Context<'_>) -> Option<Frame<Bytes>> {
        let (this, mut start, mut early) = (self.state(), None, None);
        let phase = mem::replace(this.phase, StreamPhase::Open);
        *this.shutdown = this.shutdown.take().and_then(ShutdownWait::settled);
        if let StreamPhase::Beginning(opening) = phase {
            match opening.map(|opening| *opening) {
                None => {}
                Some(Opening::Start(start_at)) => start = Some(start_at),
                Some(Opening::Early(head)) => early = Some(head),
                Some(Opening::NothingMore) => {
                    let (deadline, shutdown) = (this.deadline.take(), this.shutdown.take());
                    *this.deadline =
                        Deadline::start(deadline, this.options, *this.client, false, cx);
                    let ending = LastFrames::held(self.terminator(), shutdown);
                    self.begin_ending(ending);
                    return None;
                }
            }
        }
        let client = *this.client;
        let start = start.filter(|start| start.is_sent_to(client));
        let (deadline, has_start) = (this.deadline.take(), start.is_some());
        *this.deadline = Deadline::start(deadline, this.options, client, has_start, cx);
        let is_early = early.is_some();
        if is_early {
            Deadline::or_new(this.deadline, client).early = early;
        }
        if this.boundary.is_opaque {
            return None;
        }
        let (retry, options) = (self.first_retry(cx), &self.state.options);
        let start = start.map(|it| start_event(it, client, options.merged.omits_defaults));
        let mut preamble = options.preamble(retry, start.unwrap_or_default());
        let begins = options.begins_with_heartbeat(client);
        let is_heartbeat = if is_early { preamble.is_empty() } else { begins };
        if is_heartbeat {
            let heartbeat = options.first_sign(self.state.id_line.as_deref());
            preamble = [preamble, heartbeat].concat().into();
            if options.heartbeat().is_some() {
                self.state().record.count_heartbeat();
            }
        }
        if preamble.is_empty() {
            return None;
        }
        let preamble = self.interject(preamble);
        if has_start || is_heartbeat {
            self.state().record.expect_own_event();
        } else if retry.is_some() && client == ClientKind::EventSource {
            self.state().boundary.note_retry();
        }
        Some(preamble)
    }

    #[inline]
    pub(super) fn has_late_answer(&self) -> bool {
        self.state.deadline.as_ref().is_some_and(|deadline| deadline.has_late_answer())
    }

    /// Takes over a late answer, as if it had come in time. Returns a frame with the start of its
    /// stream, if the client gets one.
    #[cold]
    pub(super) fn take_late_answer(&mut self, cx: &mut Context<'_>) -> Option<Frame<Bytes>> {
        let mut this = self.state();
        let (client, deadline) = (*this.client, this.deadline.as_mut()?);
        let early = deadline.early.take()?;
        let answer = early.answer()?;
        deadline.early = early.second();
        deadline.late_end = answer.end;
        let age = answer.options.as_ref().and_then(|late| late.draw_max_age(client));
        if let Some(at) = age.and_then(|age| answer.answered_at.checked_add(age)) {
            deadline.expire(cx, at);
        }
        if let Some(late) = &answer.options {
            let options = Arc::make_mut(this.options);
            options.merged = late.clone().over(&options.merged);
            this.record.set_options(this.options);
            if late.heartbeat.is_some() {
                this.idle.set(IdleTimer::default());
            }
            if this.id_line.is_none() && this.options.repeats_id(client) {
                let sent = early.last_id().map(id_line);
                *this.id_line = Some(Box::new(sent.unwrap_or_default()));
            }
        }
        let omits_start = this.options.merged.omits_defaults;
        let start = answer.take_start().filter(|start| {
            start.note_viewer(client.resumes() && !omits_start, deadline.wait_left());
            if let (Some(own), Some(id)) = (this.id_line.as_mut(), &start.id) {
                **own = id_line(id);
            }
            start.is_sent_to(client)
        });
        // The layer can't write into bytes of a content coding.
        if this.boundary.is_opaque {
            return None;
        }
        let start = start.map(|it| start_event(it, client, omits_start)).unwrap_or_default();
        let sets_retry = answer.options.as_ref().is_some_and(|late| late.retry.is_some());
        let retry = if sets_retry { self.first_retry(cx) } else { None };
        if start.is_empty() && retry.is_none() || self.verdict(cx) != DeadlineVerdict::Continue {
            return None;
        }
        if !start.is_empty() {
            self.note_sent();
        }
        Some(self.interject(joined(retry.map(Retry::line).unwrap_or_default(), start)))
    }

    /// Returns the time for the layer's first `retry` line. Returns `None` if the layer sends none,
    /// for example because the source's first lines have a `retry` line of their own. The stream's
    /// options then get the source's time.
    fn first_retry(&mut self, cx: &mut Context<'_>) -> Option<Retry> {
        let (options, client) = (&self.state.options, self.state.client);
        let is_set = options.merged.retry.is_some();
        let retry = options.first_retry(client);
        // Each client of a recorded stream gets a reconnection time of its own.
        if retry.is_none() && (is_set || !client.resumes()) || !is_set && options.is_recorded() {
            return None;
        }
        if self.verdict(cx) != DeadlineVerdict::Continue {
            return retry.filter(|_| is_set);
        }
        // Some clients reject a block with two `retry` lines.
        let Poll::Ready(first) = self.poll_source(cx) else { return retry };
        let options = self.state().options;
        let has_own = first_data(&first).is_some_and(|first| note_own_retry(options, first));
        *self.state().phase = StreamPhase::Holding(Box::new(first));
        retry.filter(|_| !has_own)
    }
}
