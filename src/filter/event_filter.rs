use std::time::Duration;

use bytes::Bytes;
use http::Response;

use crate::{BoxError, decode::EventRef, event::Encoded};

/// A filter for the events of one stream (the *source*). It can hold state, such as a count.
///
/// ```
/// use tower_sse::decode::EventRef;
/// use tower_sse::filter::{EventFilter, FilterEnd, SourceEnd, Verdict};
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
///         if self.0 { Verdict::Pass } else { Verdict::Fail("the answer was cut".into()) }
///     }
/// }
/// ```
///
/// The methods run in asynchronous tasks, so they must not block. A panic in [`event`](Self::event)
/// or [`source_end`](Self::source_end) propagates. If the body is polled again, it fails.
pub trait EventFilter {
    /// Decides what happens to an event. Called once for each event, in order, as soon as its last
    /// byte has been received. Not called after a verdict has ended the stream, nor for events that
    /// are [too large](super::FilterLayer::max_event_size). If the source ends mid-event without an
    /// error, the filter also gets the incomplete event.
    fn event(&mut self, event: EventRef<'_>) -> Verdict;

    /// Decides how the client's stream ends. Called when the source ends, unless a verdict or an
    /// event that was [too large](super::FilterLayer::max_event_size) has already ended the stream.
    ///
    /// The client first receives the events in the verdict. Next comes an incomplete last event, if
    /// the filter passed it. It's dropped if the verdict on the source's end fails the stream or
    /// rejects the response. Then, depending on the verdict, the client receives:
    ///
    /// - `Pass`, `Insert`: a clean end, or the source's error
    /// - `Drop`, `Replace`, `End`: a clean end
    /// - `Fail`: the verdict's error
    /// - `Reject` while the [head is held](super::FilterLayer::hold_head): the verdict's response
    /// - `Reject` otherwise: an error
    fn source_end(&mut self, end: SourceEnd<'_>) -> Verdict {
        _ = end;
        Verdict::Pass
    }

    /// Receives the stream's report. Called once: when the stream has ended for any reason, or when
    /// the service panics or the response future is dropped before there is a response. The filter
    /// is then dropped. A panic in this method is caught. If the response isn't filtered, for
    /// example because it isn't an event stream, or if the service returns an error, the filter is
    /// dropped without a report.
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

/// The way the source of a stream ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum SourceEnd<'a> {
    /// The source ended between events.
    Clean,
    /// The source ended without an error, but in the middle of an event.
    MidEvent,
    /// The source failed.
    Failed(&'a BoxError),
}

/// A filter's decision about an event, or about the end of the source.
///
/// To send several events in one verdict, collect them into an [`Encoded`]. To send new events
/// after the current one, replace it with a copy, followed by the new events: `[event.to_encoded(),
/// usage].into_iter().collect()`.
#[derive(Debug)]
#[non_exhaustive]
#[must_use]
pub enum Verdict {
    /// The event passes unchanged, byte for byte.
    Pass,
    /// The event is not sent.
    Drop,
    /// These events are sent in place of the event.
    Replace(Encoded),
    /// These events are sent, followed by the unchanged event.
    Insert(Encoded),
    /// These events, if any, are sent in the event's place. The stream then ends cleanly, and the
    /// source is dropped.
    End(Encoded),
    /// The body fails with this error, and the event is not sent. If an outer
    /// [`SseLayer`](crate::SseLayer) has an [`on_error`](crate::SseLayer::on_error) closure, the
    /// closure's event ends the stream cleanly instead. Without `on_error`, the layer gives the
    /// server time to [write earlier bytes](crate::SseLayer::on_error) before the body fails.
    Fail(BoxError),
    /// The client gets this response in place of the stream, if the [head is
    /// held](super::FilterLayer::hold_head). Otherwise, the body fails.
    // Boxed, because it is rare and large.
    Reject(Box<Response<Bytes>>),
}

named_enum! {
    /// The way a filtered stream ended, as reported to [`EventFilter::end`]. If the source has
    /// ended mid-event or failed, a later verdict doesn't change the outcome.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    #[non_exhaustive]
    pub enum FilterOutcome {
        /// The source ended between events.
        Completed = "completed",
        /// The source ended without an error, but in the middle of an event.
        MidEvent = "mid_event",
        /// The source failed. The filter may have turned the error into a clean end.
        Failed = "failed",
        /// The filter rejected the stream or ended it early, for example because of a forbidden
        /// word.
        Stopped = "stopped",
        /// The filter failed the stream with [`Verdict::Fail`].
        FilterFailed = "filter_failed",
        /// An event was larger than the [limit](super::FilterLayer::max_event_size), so the stream
        /// failed.
        TooLarge = "too_large",
        /// The body or the response future was dropped before the end of the stream. The client
        /// disconnected, or something else stopped reading, such as the server or an outer layer.
        #[default]
        Disconnected = "disconnected",
        /// The filter, the source or the service panicked.
        Panicked = "panicked",
    }
}

/// The report on a filtered stream that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilterEnd {
    /// How the stream ended.
    pub outcome: FilterOutcome,
    /// The number of events that the filter saw.
    pub events: u64,
    /// The number of bytes received from the source.
    pub bytes_received: u64,
    /// The number of bytes that left the filter: passed, inserted, or sent in place of events. The
    /// client may have received fewer.
    pub bytes_sent: u64,
    /// The time from the request or [`FilterBody::new`](super::FilterBody::new) to this report.
    pub age: Duration,
}

/// Creates a filter from a closure that decides what happens to each event, as in the
/// [module](super)'s examples.
pub const fn from_fn<F: FnMut(EventRef<'_>) -> Verdict>(decide: F) -> impl EventFilter {
    FromFn { decide }
}

struct FromFn<F> {
    decide: F,
}

impl<F: FnMut(EventRef<'_>) -> Verdict> EventFilter for FromFn<F> {
    fn event(&mut self, event: EventRef<'_>) -> Verdict {
        (self.decide)(event)
    }
}

#[derive(Clone, Copy, Default)]
pub(super) struct FilterOptions {
    pub(super) max_event_size: Option<usize>,
    pub(super) hold_head: Option<Duration>,
}
