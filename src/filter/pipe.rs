use bytes::Bytes;

use super::{EventFilter, Outcome, flow::Flow, guard::FilterGuard, output::Output};
use crate::{BoxError, EventSplitter, Piece};

/// A filter of a stream without I/O: for hosts that are not Tower services, such as a pingora proxy,
/// and for tests of filters.
///
/// ```
/// use bytes::Bytes;
/// use tower_sse::filter::{self, FilterPipe};
///
/// let mut pipe = FilterPipe::new(filter::from_fn(|event| match event.has_data() {
///     true => filter::Verdict::replace(event.with_data("***")),
///     false => filter::Verdict::Pass,
/// }));
///
/// assert_eq!(pipe.push(Bytes::from_static(b"id: 7\ndata: sec"))?, "");
/// assert_eq!(pipe.push(Bytes::from_static(b"ret\n\n: ping\n"))?, "id: 7\ndata: ***\n\n: ping\n");
/// while !pipe.is_over() {
///     assert_eq!(pipe.finish(None)?, "");
/// }
/// # Ok::<_, tower_sse::BoxError>(())
/// ```
///
/// It reads no clock, which some WebAssembly hosts do not have, so its [report](super::FilterEnd)
/// has no times. That of a [`FilterBody`](super::FilterBody) has them.
///
/// # Memory
///
/// The pipe keeps an incomplete event of at most [`max_event_size`](Self::max_event_size) bytes. A
/// frame that passes as a whole is not copied.
pub struct FilterPipe<F: EventFilter> {
    splitter: EventSplitter,
    pub(super) flow: Flow<F>,
    pub(super) pass_oversized: bool,
}

impl<F: EventFilter> FilterPipe<F> {
    /// Creates a pipe for a new stream, with events of up to 1 MiB.
    #[must_use]
    pub fn new(filter: F) -> Self {
        Self::with_guard(FilterGuard::new(filter, false))
    }

    pub(super) fn with_guard(guard: FilterGuard<F>) -> Self {
        Self { splitter: EventSplitter::new(), flow: Flow::new(guard), pass_oversized: false }
    }

    /// Limits the size of an event, as [`FilterLayer::max_event_size`](super::FilterLayer::max_event_size)
    /// does.
    ///
    /// # Panics
    ///
    /// Panics if `bytes` is zero.
    #[must_use]
    #[track_caller]
    pub fn max_event_size(mut self, bytes: usize) -> Self {
        self.splitter = self.splitter.max_event_size(bytes);
        self
    }

    /// Lets events pass unseen that are too large, as
    /// [`FilterLayer::pass_oversized`](super::FilterLayer::pass_oversized) does.
    #[must_use]
    pub const fn pass_oversized(mut self) -> Self {
        self.pass_oversized = true;
        self
    }

    /// Filters the next bytes of the source, and returns those that are to be sent.
    ///
    /// # Errors
    ///
    /// Returns the error of [`Verdict::Fail`](super::Verdict::Fail), of an event that is too large,
    /// or of a stream that is polled again after a panic. What is to be sent before the error is
    /// returned first, and the error by the next call of this method or of [`finish`](Self::finish).
    pub fn push(&mut self, frame: Bytes) -> Result<Bytes, BoxError> {
        self.flow.guard.enter()?;
        let sent = self.filter(frame);
        self.flow.guard.is_calling = false;
        sent
    }

    /// Filters the end of the source, which failed with `error` or ended cleanly, and returns the
    /// bytes that are still to be sent. Call it until [`is_over`](Self::is_over), with `None` from the
    /// second call on.
    ///
    /// # Errors
    ///
    /// Returns the error with which the stream is to fail: as [`push`](Self::push) does, or `error`.
    pub fn finish(&mut self, error: Option<BoxError>) -> Result<Bytes, BoxError> {
        self.flow.guard.enter()?;
        let sent = self.filter_end(error);
        self.flow.guard.is_calling = false;
        sent
    }

    /// Returns whether the stream has ended, so that nothing more is to be sent. The filter may have
    /// ended it before the source.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        !self.flow.is_open && self.flow.error.is_none()
    }

    /// Filters a frame, within [`enter`](FilterGuard::enter) and what follows it.
    pub(super) fn filter(&mut self, mut frame: Bytes) -> Result<Bytes, BoxError> {
        self.flow.guard.report.bytes_received += frame.len() as u64;
        let mut output = Output::new(&frame);
        let mut input = &frame[..];
        while self.flow.is_open && !input.is_empty() {
            match self.splitter.next(&mut input) {
                Ok(Some(piece)) => {
                    self.flow.piece(piece, frame.len() - input.len(), &mut output);
                }
                Ok(None) => {}
                Err(_) if self.pass_oversized => self.flow.guard.report.oversized += 1,
                Err(error) => self.flow.end(Outcome::TooLarge, Some(error.into())),
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

    /// Filters the end of the source, as [`filter`](Self::filter) filters a frame.
    pub(super) fn filter_end(&mut self, error: Option<BoxError>) -> Result<Bytes, BoxError> {
        let mut output = Vec::new();
        if self.flow.is_open {
            let is_oversized = self.splitter.is_oversized();
            let is_mid_line = self.splitter.is_in_comment() || self.flow.ends_in_cr;
            let tail = self.splitter.finish().filter(|_| error.is_none());
            let is_event = matches!(tail, Some(Piece::Event(_)));
            let mut passes = true;
            if let Some(Piece::Event(event)) = tail {
                let (events, is_passed) = self.flow.tail(event);
                output.extend_from_slice(events.as_bytes());
                passes = is_passed;
            }
            if self.flow.is_open {
                let events = self.flow.source_end(is_event || is_oversized, error);
                if !events.as_bytes().is_empty() && !is_oversized {
                    if is_mid_line && output.is_empty() {
                        output.push(b'\n');
                    }
                    output.extend_from_slice(events.as_bytes());
                }
            }
            if let Some(tail) = tail
                && passes
                && self.flow.error.is_none()
            {
                output.extend_from_slice(tail.as_bytes());
            }
        }
        self.flow.send(output.into())
    }

    /// Frees large buffers that are empty, because the source is idle.
    pub(super) fn shrink(&mut self) {
        self.splitter.shrink();
    }
}

opaque_debug!(FilterPipe<F: EventFilter>);
