use std::time::Duration;

/// The way a filtered stream ended, as reported to [`EventFilter::end`](super::EventFilter::end).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The source ended between events.
    Completed,
    /// The source ended cleanly, but in the middle of an event.
    MidEvent,
    /// The source failed, even if the filter turned the error into a clean end.
    Failed,
    /// The filter ended, failed or rejected the stream. A source that has failed or ended in the
    /// middle of an event counts as such, whatever the filter did about it.
    Stopped,
    /// An event was larger than the [limit](super::FilterLayer::max_event_size).
    TooLarge,
    /// The body or the future of the response was dropped before the end. Either the client
    /// disconnected, or the server or an outer layer ended the stream.
    #[default]
    Disconnected,
    /// The filter, the source or the service panicked.
    Panicked,
    /// The response has a content coding, so the filter could not see its events.
    Encoded,
    /// The response is no event stream, or the service failed.
    NotAStream,
    /// The request was `HEAD`.
    Head,
}

impl Outcome {
    /// Returns the name of the variant in snake case, for logs and as the label of a metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::MidEvent => "mid_event",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::TooLarge => "too_large",
            Self::Disconnected => "disconnected",
            Self::Panicked => "panicked",
            Self::Encoded => "encoded",
            Self::NotAStream => "not_a_stream",
            Self::Head => "head",
        }
    }
}

/// The report of a filtered stream that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilterEnd {
    /// How the stream ended.
    pub outcome: Outcome,
    /// The number of events that the filter saw.
    pub events: u64,
    /// The number of events that passed unseen because they were
    /// [too large](super::FilterLayer::pass_oversized).
    pub oversized: u64,
    /// The number of bytes that the source sent.
    pub bytes_received: u64,
    /// The number of bytes that passed the filter or were sent by it. The client may have received
    /// fewer.
    pub bytes_sent: u64,
    /// The time from when the filter was made to the end: with the layer, from the request.
    pub age: Duration,
}
