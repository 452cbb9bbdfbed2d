use std::{fmt, time::Duration};

/// Why a stream closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The source came to its own clean end.
    Ended,
    /// The source failed, also if [`on_error`](crate::SseLayer::on_error) made a last event of it; or
    /// the service inside failed before there was a stream.
    Failed,
    /// The client left: the server dropped the response, or its future, before its end. A server that
    /// gives up on a client does so too.
    Disconnected,
    /// The [shutdown](crate::SseLayer::shutdown) ended it.
    Drained,
    /// It reached its [greatest age](crate::SseLayer::max_age).
    Expired,
    /// The source panicked, or the thread was unwinding from another panic as the stream was dropped.
    Panicked,
    /// The source was cancelled by the program: its error was the
    /// [`JoinError`](tokio::task::JoinError) of a cancelled task, or one that
    /// [`cancellation_if`](crate::SseLayer::cancellation_if) names.
    Cancelled,
}

impl CloseReason {
    /// In the order of the variants, by which they are counted.
    pub(crate) const ALL: [Self; 7] = [
        Self::Ended,
        Self::Failed,
        Self::Disconnected,
        Self::Drained,
        Self::Expired,
        Self::Panicked,
        Self::Cancelled,
    ];

    /// The reason as one lower-case word, for logs and as the label of a metric: the name of the
    /// variant.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Failed => "failed",
            Self::Disconnected => "disconnected",
            Self::Drained => "drained",
            Self::Expired => "expired",
            Self::Panicked => "panicked",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The report of one stream that has closed, which
/// [`SseLayer::on_close`](crate::SseLayer::on_close) is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReport {
    pub(crate) reason: CloseReason,
    pub(crate) age: Duration,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    pub(crate) heartbeats: u64,
}

impl CloseReport {
    /// Why it closed.
    #[must_use]
    pub const fn reason(&self) -> CloseReason {
        self.reason
    }

    /// For how long it was open.
    #[must_use]
    pub const fn age(&self) -> Duration {
        self.age
    }

    /// How many frames of data were handed to the server, those that the layer wrote among them. A
    /// frame has one event or many.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.frames
    }

    /// How many bytes those frames had. What the server did with them is not known here: of a client
    /// that left, some may never have arrived.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many of the frames were heartbeats.
    #[must_use]
    pub const fn heartbeats(&self) -> u64 {
        self.heartbeats
    }
}

#[cfg(test)]
mod tests {
    use super::CloseReason;

    #[test]
    fn every_reason_is_counted_at_its_place() {
        for (at, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at, "{reason}");
        }
    }
}
