use std::{fmt, sync::Arc};

use crate::prometheus::{Escaped, labelled_counter};

/// The streams that were refused because a subject had no place left, from
/// [`Streams::stats`](super::Streams::stats).
///
/// It displays as metrics in the text format of Prometheus, as
/// [`StatsSnapshot`](crate::StatsSnapshot) does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamsStats {
    pub(super) refused: Vec<(Arc<str>, u64)>,
}

impl StreamsStats {
    /// Returns how many streams were refused for each prefix that has a
    /// [limit](super::StreamsBuilder::limit), including prefixes with none. Places that
    /// [`Subjects::try_add`](super::Subjects::try_add) did not get count too.
    #[must_use]
    pub fn refused_by_prefix(&self) -> impl ExactSizeIterator<Item = (&str, u64)> {
        self.refused.iter().map(|(prefix, refused)| (&**prefix, *refused))
    }
}

impl fmt::Display for StreamsStats {
    /// Writes the counters in the text format of Prometheus.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, help) =
            ("sse_streams_limited_total", "Streams that were refused at the limit of a subject.");
        let counts = self.refused_by_prefix().map(|(prefix, refused)| (Escaped(prefix), refused));
        labelled_counter(f, name, help, "prefix", counts)
    }
}
