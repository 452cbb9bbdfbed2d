use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::{collections::VecDeque, future::Future, mem};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::task::coop;
use tokio::time::{Instant, Sleep};

use super::event_filter::FilterOptions;
use super::{EventFilter, FilterEnd, FilterOutcome, SourceEnd, Verdict};
use crate::decode::{EventRef, EventSplitter, Piece};
use crate::exchange::{EarlyHead, LateEnd};
use crate::signals::{ItemError, Stopped, is_within_streams_body};
use crate::{BoxError, callback::catch_panic, coop::CoopBudget, event::Encoded, headers};

/// The maximum part of a frame that is filtered at a time. A larger part would block the thread.
const MAX_PART: usize = 64 << 10;

type BodyFrame = Result<Frame<Bytes>, BoxError>;

pin_project! {
    /// A source and the pipe through which it passes.
    pub(super) struct Filtered<F: EventFilter, B> {
        // `None` before the response, and once the stream has ended.
        #[pin]
        source: Option<B>,
        // Set if the response's head was sent before the service answered.
        head: Option<EarlyHead>,
        pipe: FilterPipe<F>,
        // The part of the last frame that is not filtered yet.
        rest: Bytes,
        trailers: Option<HeaderMap>,
        // The frames that passed while the response's head was held.
        held: VecDeque<BodyFrame>,
        budget: CoopBudget,
    }
}

impl<F: EventFilter, B> Filtered<F, B> {
    /// Creates a pinned value: the source can be polled before the body is returned.
    pub(super) fn new(filter: F, options: FilterOptions, source: Option<B>) -> Pin<Box<Self>> {
        Box::pin(Self {
            source,
            head: None,
            pipe: FilterPipe::new(filter, options),
            rest: Bytes::new(),
            trailers: None,
            held: VecDeque::new(),
            budget: CoopBudget::default(),
        })
    }

    /// Calls the service or polls its future. After a panic, the outcome will be `Panicked`.
    pub(super) fn calling<T>(self: Pin<&mut Self>, call: impl FnOnce() -> T) -> T {
        let guard = &mut self.project().pipe.flow.guard;
        _ = guard.enter();
        let returned = call();
        guard.is_calling = false;
        returned
    }

    pub(super) fn begin(self: Pin<&mut Self>, source: B, head: Option<EarlyHead>) {
        let mut this = self.project();
        this.source.set(Some(source));
        *this.head = head;
    }

    /// Drops the filter, because nothing will be filtered.
    pub(super) fn discard(self: Pin<&mut Self>) {
        let filter = self.project().pipe.flow.guard.filter.take();
        catch_panic(|| drop(filter));
    }
}

impl<F, B> Body for Filtered<F, B>
where
    F: EventFilter,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        match self.as_mut().project().held.pop_front() {
            Some(held) => Poll::Ready(Some(held)),
            None => self.poll_pipe(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pipe.is_over() && self.trailers.is_none() && self.held.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

impl<F, B> Filtered<F, B>
where
    F: EventFilter,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    /// Polls until the head of the response can be sent, then returns `None`. If a verdict rejects
    /// the stream first, returns the verdict's response.
    pub(super) fn poll_head(
        mut self: Pin<&mut Self>,
        limit: Pin<&mut Sleep>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Box<Response<Bytes>>>> {
        self.as_mut().project().pipe.flow.holds_head = true;
        let mut is_over = false;
        while !is_over {
            let Poll::Ready(polled) = self.as_mut().poll_pipe(cx) else {
                // The source may have spent tokio's budget, without which a timer is never ready.
                ready!(pin!(coop::unconstrained(limit)).poll(cx));
                break;
            };
            let this = self.as_mut().project();
            if let Some(rejected) = this.pipe.flow.rejected.take() {
                return Poll::Ready(Some(rejected));
            }
            is_over = matches!(polled, None | Some(Err(_))) || this.pipe.flow.releases_head();
            this.held.extend(polled);
        }
        self.project().pipe.flow.holds_head = false;
        Poll::Ready(None)
    }

    fn poll_pipe(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        let this = self.as_mut().project();
        if let Err(panicked) = this.pipe.flow.guard.enter() {
            self.project().source.set(None);
            return Poll::Ready(Some(Err(panicked)));
        }
        let polled = self.as_mut().poll_source(cx);
        self.project().pipe.flow.guard.is_calling = false;
        polled
    }

    fn poll_source(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        let mut this = self.project();
        loop {
            let sent = if !this.rest.is_empty() {
                let part = this.rest.split_to(this.rest.len().min(MAX_PART));
                this.pipe.filter(part)
            } else if !this.pipe.flow.is_open {
                this.pipe.filter_end(None)
            } else {
                ready!(CoopBudget::poll_ready(cx));
                let Some(source) = this.source.as_mut().as_pin_mut() else {
                    return Poll::Ready(None);
                };
                let Poll::Ready(frame) = source.poll_frame(cx).map_err(Into::into) else {
                    this.pipe.splitter.shrink();
                    return Poll::Pending;
                };
                let frame = frame.map(|frame| frame.map(Frame::into_data));
                if let Some(Ok(Ok(data))) = &frame {
                    this.pipe.flow.guard.report.bytes_received += data.len() as u64;
                }
                match frame {
                    Some(Ok(Ok(data))) if data.len() <= MAX_PART => this.pipe.filter(data),
                    Some(Ok(Ok(data))) => {
                        *this.rest = data;
                        continue;
                    }
                    Some(Ok(Err(frame))) => {
                        *this.trailers = frame.into_trailers().ok();
                        if let Some(trailers) = this.trailers {
                            headers::remove_those_of_whole_bodies(trailers);
                        }
                        this.pipe.filter_end(stopped(this.head))
                    }
                    Some(Err(error)) => this.pipe.filter_end(Some(error)),
                    None => this.pipe.filter_end(stopped(this.head)),
                }
            };
            if !this.pipe.flow.is_open {
                this.source.set(None);
                this.rest.clear();
            }
            match sent {
                Ok(bytes) if !bytes.is_empty() => {
                    this.budget.spend(cx, bytes.len());
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
                Ok(_) if this.pipe.is_over() => {
                    let is_stopped = this.pipe.flow.is_stopped;
                    let trailers = this.trailers.take().filter(|_| !is_stopped);
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                }
                Ok(_) => ready!(this.budget.poll_empty(cx)),
            }
        }
    }
}

/// Returns the error for a filter if a late answer isn't complete although its body ends cleanly.
fn stopped(head: &Option<EarlyHead>) -> Option<BoxError> {
    let Some(LateEnd::Stopped(stopped)) = head.as_ref().map(EarlyHead::end) else { return None };
    Some(stopped.into())
}

/// A pipe that passes the bytes of one stream through a filter, without I/O. It buffers at most one
/// incomplete event, `retry` line or byte order mark.
struct FilterPipe<F: EventFilter> {
    splitter: EventSplitter,
    flow: Flow<F>,
}

impl<F: EventFilter> FilterPipe<F> {
    fn new(filter: F, options: FilterOptions) -> Self {
        let mut splitter = EventSplitter::new();
        if let Some(bytes) = options.max_event_size {
            splitter = splitter.max_event_size(bytes);
        }
        Self { splitter, flow: Flow::new(FilterGuard::new(filter)) }
    }

    /// Returns `true` once the stream has ended and no error is left to return. The stream can end
    /// before its source does.
    const fn is_over(&self) -> bool {
        !self.flow.is_open && self.flow.error.is_none()
    }

    /// Filters a frame. The caller has called [`enter`](FilterGuard::enter).
    fn filter(&mut self, mut frame: Bytes) -> Result<Bytes, BoxError> {
        let mut output = Output::new(&frame);
        let mut input = &frame[..];
        while self.flow.is_open && !input.is_empty() {
            match self.splitter.next(&mut input) {
                Ok(Some(piece)) => {
                    self.flow.piece(piece, frame.len() - input.len(), &mut output);
                }
                Ok(None) => {}
                Err(error) => self.flow.end(FilterOutcome::TooLarge, Some(error.into())),
            }
        }
        let bytes = match output.finish() {
            Ok(len) => {
                frame.truncate(len);
                frame
            }
            Err(copied) => copied.into(),
        };
        self.flow.send(bytes)
    }

    fn filter_end(&mut self, error: Option<BoxError>) -> Result<Bytes, BoxError> {
        let mut output = Vec::new();
        if self.flow.is_open {
            let is_mid_line = self.splitter.is_in_comment() || self.flow.ends_in_cr;
            let tail = self.splitter.finish().filter(|_| error.is_none());
            let is_event = matches!(tail, Some(Piece::Event(_)));
            let mut passes = true;
            if let Some(Piece::Event(event)) = tail {
                let verdict = self.flow.guard.event(event);
                let (events, is_passed) = self.flow.apply(verdict, FilterOutcome::MidEvent);
                output.extend_from_slice(events.as_bytes());
                passes = is_passed;
            }
            if self.flow.is_open {
                let events = self.flow.source_end(is_event, error);
                if !events.as_bytes().is_empty() {
                    if is_mid_line && output.is_empty() {
                        output.push(b'\n');
                    }
                    output.extend_from_slice(events.as_bytes());
                }
            }
            if self.flow.error.is_none()
                && let Some(tail) = tail.filter(|_| passes)
            {
                output.extend_from_slice(tail.as_bytes());
            }
        }
        self.flow.send(output.into())
    }
}

/// Returns whether `error` must reach the layer around the filter, even if a verdict would hide it:
/// the source has stopped its stream, and after a clean end, the layer would add a terminator.
fn forbids_terminator(error: &BoxError) -> bool {
    is_within_streams_body() && Stopped::cause_of(&**error).is_some()
}

const MAX_HELD: u64 = 16 << 10;

/// A filter, and the state of the stream after its verdicts so far.
struct Flow<F: EventFilter> {
    guard: FilterGuard<F>,
    is_open: bool,
    error: Option<BoxError>,
    rejected: Option<Box<Response<Bytes>>>,
    holds_head: bool,
    /// Whether bytes of an event have been sent.
    has_sent_event: bool,
    /// The number of bytes that have passed between events.
    between: u64,
    /// Whether the last byte that was sent is a CR. Its LF may be missing.
    ends_in_cr: bool,
    /// Whether a verdict has ended the stream, so that nothing of the source follows.
    is_stopped: bool,
    /// Whether a verdict has dropped an event before any other bytes of the event's frame were
    /// sent. If no earlier frame has sent a byte either, the stream begins with a later event.
    starts_late: bool,
    /// If the last event or line ended in a CR, whether it was sent. An LF that follows belongs to
    /// it.
    after_cr: Option<bool>,
    /// If a `retry` line was sent after the last event, whether an empty line has followed it. The
    /// empty line was not sent.
    after_retry: Option<bool>,
}

impl<F: EventFilter> Flow<F> {
    const fn new(guard: FilterGuard<F>) -> Self {
        Self {
            guard,
            is_open: true,
            error: None,
            rejected: None,
            holds_head: false,
            has_sent_event: false,
            between: 0,
            ends_in_cr: false,
            is_stopped: false,
            starts_late: false,
            after_cr: None,
            after_retry: None,
        }
    }

    /// Returns the bytes to send for an event, and whether the event itself follows them. Returns
    /// `None` if the event passes.
    #[inline]
    fn event(&mut self, event: EventRef<'_>) -> Option<(Encoded, bool)> {
        let verdict = self.guard.event(event);
        if matches!(verdict, Verdict::Pass) {
            // A `Pass` owns nothing, and dropping it would be a call.
            mem::forget(verdict);
            return None;
        }
        Some(self.apply(verdict, FilterOutcome::Stopped))
    }

    /// Returns whether the head need not be held any longer. After that, nothing can be rejected.
    const fn releases_head(&self) -> bool {
        !self.holds_head || self.has_sent_event || self.between >= MAX_HELD
    }

    /// Sends a piece that ends at index `end` of the frame, or what takes its place.
    #[inline]
    fn piece(&mut self, piece: Piece<'_>, end: usize, output: &mut Output<'_>) {
        let bytes = piece.as_bytes();
        match piece {
            Piece::Event(event) => {
                if let Some((events, passes)) = self.event(event) {
                    if !events.as_bytes().is_empty() {
                        output.put(events.as_bytes());
                        self.has_sent_event = true;
                        self.after_retry = None;
                    }
                    if !passes {
                        self.after_cr = bytes.ends_with(b"\r").then_some(false);
                        self.starts_late |= output.is_empty();
                        return;
                    }
                }
                self.has_sent_event = true;
                if self.after_retry.take() == Some(true) && piece.retry().is_some() {
                    output.put(b"\n");
                }
            }
            Piece::Between([b'\n' | b'\r', ..]) => return self.empty_lines(bytes, end, output),
            Piece::Between(_) | Piece::Comment(_) => {
                if piece.retry().is_some() && self.after_retry.replace(false) == Some(true) {
                    // Some clients reject a block with two `retry` lines.
                    output.put(b"\n");
                }
                self.between += bytes.len() as u64;
            }
        }
        self.after_cr = bytes.ends_with(b"\r").then_some(true);
        output.pass(bytes, end);
    }

    /// Drops empty lines between events, but not an LF that ends an earlier line. Some clients take
    /// a block without an event for an event.
    fn empty_lines(&mut self, bytes: &[u8], end: usize, output: &mut Output<'_>) {
        let lf = self.after_cr.take().filter(|_| bytes.starts_with(b"\n"));
        let (lf_bytes, lines) =
            bytes.split_at_checked(usize::from(lf.is_some())).unwrap_or_default();
        if lf == Some(true) {
            output.pass(lf_bytes, end - lines.len());
        }
        if !lines.is_empty() {
            self.after_cr = lines.ends_with(b"\r").then_some(false);
            self.after_retry = self.after_retry.map(|_| true);
            self.starts_late |= output.is_empty();
        }
    }

    /// Returns the events to send when the source has ended, before the stream ends or fails.
    fn source_end(&mut self, is_mid_event: bool, error: Option<BoxError>) -> Encoded {
        let (end, outcome) = match &error {
            Some(error) => (SourceEnd::Failed(ItemError::inside(error)), FilterOutcome::Failed),
            None if is_mid_event => (SourceEnd::MidEvent, FilterOutcome::MidEvent),
            None => (SourceEnd::Clean, FilterOutcome::Completed),
        };
        let verdict = match self.guard.source_end(end) {
            Verdict::End(events) => Verdict::Replace(events),
            verdict => verdict,
        };
        let stopped =
            if outcome == FilterOutcome::Completed { FilterOutcome::Stopped } else { outcome };
        let (events, passes) = self.apply(verdict, stopped);
        if self.is_open {
            // The layer around the filter knows the end of a late answer.
            let error = error.filter(|error| !error.is::<Stopped>());
            self.end(outcome, error.filter(|error| passes || forbids_terminator(error)));
        }
        events
    }

    /// Returns the bytes that this verdict sends, and whether the event, or the source's end,
    /// follows them.
    fn apply(&mut self, verdict: Verdict, outcome: FilterOutcome) -> (Encoded, bool) {
        match verdict {
            Verdict::Pass => return (Encoded::default(), true),
            Verdict::Drop => {}
            Verdict::Replace(events) => return (events, false),
            Verdict::Insert(events) => return (events, true),
            Verdict::End(events) => {
                self.stop(outcome, None);
                return (events, false);
            }
            Verdict::Fail(error) => {
                let is_ours = outcome == FilterOutcome::Stopped;
                self.stop(if is_ours { FilterOutcome::FilterFailed } else { outcome }, Some(error));
            }
            Verdict::Reject(response) if !self.releases_head() => {
                self.rejected = Some(response);
                self.stop(outcome, None);
            }
            Verdict::Reject(_) => {
                let error = "event stream rejected after the head of its response";
                self.stop(outcome, Some(error.into()));
            }
        }
        (Encoded::default(), false)
    }

    /// Ends the stream because of a verdict. The events in the verdict are still sent.
    fn stop(&mut self, outcome: FilterOutcome, error: Option<BoxError>) {
        self.is_stopped = true;
        self.end(outcome, error);
    }

    fn end(&mut self, outcome: FilterOutcome, error: Option<BoxError>) {
        self.is_open = false;
        self.error = error;
        self.guard.report.outcome = outcome;
    }

    /// Returns the bytes to send, or the error if no bytes precede it. Reports the stream's end, if
    /// it has ended.
    #[inline]
    fn send(&mut self, mut bytes: Bytes) -> Result<Bytes, BoxError> {
        if self.starts_late && self.guard.report.bytes_sent == 0 && bytes.starts_with(b"\xef") {
            // Clients strip a byte order mark at the start of a stream, which would change the
            // event after the mark. An empty line in front prevents that.
            bytes = [b"\n", &bytes[..]].concat().into();
        }
        self.guard.report.bytes_sent += bytes.len() as u64;
        if let Some(last) = bytes.last() {
            self.ends_in_cr = *last == b'\r';
        }
        if !self.is_open {
            self.guard.end(self.guard.report.outcome);
            if let Some(error) = self.error.take_if(|_| bytes.is_empty()) {
                return Err(error);
            }
        }
        Ok(bytes)
    }
}

/// The bytes to send for one frame of the source. They are copied unless they are simply the
/// beginning of the frame, or all of it.
struct Output<'f> {
    frame: &'f [u8],
    /// The length of the frame's beginning that passes.
    passed: usize,
    /// The bytes to send, if they are not simply the beginning of the frame.
    copied: Option<Vec<u8>>,
}

impl<'f> Output<'f> {
    const fn new(frame: &'f [u8]) -> Self {
        Self { frame, passed: 0, copied: None }
    }

    const fn is_empty(&self) -> bool {
        self.passed == 0 && self.copied.is_none()
    }

    /// Sends `bytes`, which end at index `end` of the frame. They may have begun in an earlier
    /// frame.
    #[inline]
    fn pass(&mut self, bytes: &[u8], end: usize) {
        if self.copied.is_none() && end.checked_sub(bytes.len()) == Some(self.passed) {
            self.passed = end;
        } else {
            self.put(bytes);
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        let copied = self.copied.get_or_insert_with(|| {
            let mut copied = Vec::with_capacity(self.frame.len() + bytes.len());
            copied.extend_from_slice(self.frame.get(..self.passed).unwrap_or_default());
            copied
        });
        copied.extend_from_slice(bytes);
    }

    /// Returns the length of the frame's beginning that is sent, or the bytes that replace it.
    #[inline]
    fn finish(self) -> Result<usize, Vec<u8>> {
        self.copied.map_or(Ok(self.passed), Err)
    }
}

/// A filter, with the report that is passed to its `end` once, unless nothing is filtered.
struct FilterGuard<F: EventFilter> {
    /// The filter, until its `end` is called or [`discard`](Filtered::discard) drops it.
    filter: Option<F>,
    report: FilterEnd,
    start: Instant,
    /// Set during a call of the filter, the source or the service, and after one of them has
    /// panicked.
    is_calling: bool,
}

impl<F: EventFilter> FilterGuard<F> {
    fn new(filter: F) -> Self {
        Self {
            filter: Some(filter),
            report: FilterEnd::default(),
            start: Instant::now(),
            is_calling: false,
        }
    }

    /// Notes that code of the program is about to be called. Fails if such code has panicked.
    #[inline]
    fn enter(&mut self) -> Result<(), BoxError> {
        if self.is_calling {
            self.end(FilterOutcome::Panicked);
            return Err("event stream panicked".into());
        }
        self.is_calling = true;
        Ok(())
    }

    #[inline]
    fn event(&mut self, event: EventRef<'_>) -> Verdict {
        self.report.events += 1;
        // With `map_or`, dropping the unused verdict would be a call.
        match &mut self.filter {
            Some(filter) => filter.event(event),
            None => Verdict::Pass,
        }
    }

    fn source_end(&mut self, end: SourceEnd<'_>) -> Verdict {
        self.filter.as_mut().map_or(Verdict::Pass, |filter| filter.source_end(end))
    }

    /// Calls the filter's `end` and drops the filter, unless the filter is already gone.
    fn end(&mut self, outcome: FilterOutcome) {
        let Some(mut filter) = self.filter.take() else { return };
        self.report.outcome = outcome;
        self.report.age = self.start.elapsed();
        catch_panic(|| filter.end(&self.report));
        catch_panic(|| drop(filter));
    }
}

impl<F: EventFilter> Drop for FilterGuard<F> {
    fn drop(&mut self) {
        self.end(if self.is_calling {
            FilterOutcome::Panicked
        } else {
            FilterOutcome::Disconnected
        });
    }
}
