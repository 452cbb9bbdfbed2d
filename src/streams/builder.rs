use std::{collections::BTreeMap, sync::Arc};

use super::{Streams, limits::Limits, open_streams::OpenStreams};

impl Streams {
    /// Returns a builder that limits how many streams of a subject are open.
    pub fn builder() -> StreamsBuilder {
        StreamsBuilder::default()
    }
}

/// A builder for [`Streams`] that limits how many streams of a subject are open.
///
/// ```
/// use tower_sse::{SseLayer, streams::Streams};
///
/// let streams = Streams::builder().limit("user:", 5).limit("tenant:", 1_000).build();
/// # let layer: SseLayer =
/// SseLayer::new().streams(&streams);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "call `build` or `connect`"]
pub struct StreamsBuilder {
    limits: BTreeMap<Arc<str>, usize>,
}

impl StreamsBuilder {
    /// Limits each subject that begins with `prefix` to `limit` open streams at the same time. By
    /// default there is no limit.
    ///
    /// If several prefixes match a subject, the longest one counts. [The
    /// module](super#limits-for-each-subject) has the rules. Setting the limit of a prefix again replaces
    /// it.
    ///
    /// # Panics
    ///
    /// Panics if `limit` is zero.
    #[track_caller]
    pub fn limit(mut self, prefix: impl Into<Arc<str>>, limit: usize) -> Self {
        assert!(limit > 0, "the limit of open streams cannot be zero");
        self.limits.insert(prefix.into(), limit);
        self
    }

    /// Creates a set of streams in this process.
    #[must_use]
    pub fn build(self) -> Streams {
        let open_streams = Arc::new(OpenStreams::new(self.limits(), None));
        Streams { open_streams, relay: None }
    }

    pub(super) fn limits(self) -> Limits {
        Limits::new(self.limits)
    }
}
