use std::{fmt, sync::Arc};

use crate::prometheus::{Escaped, labelled};

/// The streams that were refused because a subject had no place left, from
/// [`Streams::stats`](super::Streams::stats).
///
/// It displays as metrics in the text format of Prometheus, as
/// [`StatsSnapshot`](crate::StatsSnapshot) does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamsStats {
    /// The number of streams that were refused for each prefix that has a
    /// [limit](super::StreamsBuilder::limit), including prefixes with none. Places that
    /// [`Subjects::try_add`](super::Subjects::try_add) did not get count too.
    pub refused_by_prefix: Vec<(Arc<str>, u64)>,
}

impl fmt::Display for StreamsStats {
    /// Writes the counters in the text format of Prometheus.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metric =
            ("sse_streams_limited_total", "Streams that were refused at the limit of a subject.");
        let counts =
            self.refused_by_prefix.iter().map(|(prefix, refused)| (Escaped(prefix), *refused));
        labelled(f, "counter", metric, "prefix", counts)
    }
}
