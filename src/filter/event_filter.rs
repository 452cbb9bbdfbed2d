use super::{FilterEnd, Verdict};
use crate::{BoxError, EventRef};

/// A filter of the events of one stream. It holds the state of that stream, such as a count.
///
/// ```
/// use tower_sse::{
///     EventRef,
///     filter::{EventFilter, FilterEnd, SourceEnd, Verdict},
/// };
///
/// /// Fails a stream that ends without `[DONE]`, so that half an answer is not taken for a whole one.
/// #[derive(Default)]
/// struct Whole(bool);
///
/// impl EventFilter for Whole {
///     fn event(&mut self, event: EventRef<'_>) -> Verdict {
///         self.0 |= event.data() == "[DONE]";
///         Verdict::Pass
///     }
///
///     fn source_end(&mut self, _: SourceEnd<'_>) -> Verdict {
///         if self.0 { Verdict::Pass } else { Verdict::fail("the answer was cut") }
///     }
/// }
/// ```
///
/// The methods run on the task of the server, so they must not block. A panic of
/// [`event`](Self::event) or [`source_end`](Self::source_end) propagates, and the body fails if it is
/// polled again.
pub trait EventFilter {
    /// Decides what becomes of an event. It is called once for each event, in order, as soon as the
    /// last byte of the event has been received.
    ///
    /// If the source ends cleanly in the middle of an event, the filter gets that part of an event
    /// too; it is not [terminated](EventRef::is_terminated).
    fn event(&mut self, event: EventRef<'_>) -> Verdict;

    /// Decides what becomes of the end of the source. It is not called after a verdict that has
    /// ended the stream: [`Verdict::End`], [`Verdict::Fail`], or [`Verdict::Reject`] unless the
    /// event passed. Neither is it called after an event that was too large, unless
    /// [`pass_oversized`](super::FilterLayer::pass_oversized) is set.
    ///
    /// Events of this verdict are sent before the end or the error. If the source ended in the
    /// middle of an event, that part of the event follows them. The events of this verdict are not
    /// sent into the middle of an event that was [too large](super::FilterLayer::pass_oversized).
    ///
    /// What follows a verdict:
    ///
    /// - `Pass`: the end or the error
    /// - `Drop`: a clean end
    /// - `Insert`: these events, then the end or the error
    /// - `Replace`, `End`: these events, then a clean end
    /// - `Fail`: this error
    /// - `Reject`: this response if the head is held; otherwise an error, or with
    ///   [`pass_rejected`](super::FilterLayer::pass_rejected) the same as `Pass`
    fn source_end(&mut self, end: SourceEnd<'_>) -> Verdict {
        _ = end;
        Verdict::Pass
    }

    /// Reports how the stream has ended. It is called exactly once, whatever happens, and the filter
    /// is dropped after it. A panic is caught.
    fn end(&mut self, end: &FilterEnd) {
        _ = end;
    }
}

impl<T: EventFilter + ?Sized> EventFilter for Box<T> {
    fn event(&mut self, event: EventRef<'_>) -> Verdict {
        (**self).event(event)
    }

    fn source_end(&mut self, end: SourceEnd<'_>) -> Verdict {
        (**self).source_end(end)
    }

    fn end(&mut self, end: &FilterEnd) {
        (**self).end(end);
    }
}

/// The way the source of a stream has ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum SourceEnd<'a> {
    /// The source ended between events.
    Clean,
    /// The source ended cleanly, but in the middle of an event.
    MidEvent,
    /// The source failed.
    Failed(&'a BoxError),
}
