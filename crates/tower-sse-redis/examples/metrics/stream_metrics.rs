use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::DescriptorEncoder,
    metrics::{
        MetricType::{Counter, Gauge},
        counter::ConstCounter,
        gauge::ConstGauge,
    },
};
use tower_sse::{Stats, StatsSnapshot, streams::Streams};

use super::encode::{encode_counter, encode_family, encode_gauge};

/// A collector of the layer's counters, and of the refusals at the limits of subjects.
#[derive(Debug)]
pub(super) struct StreamMetrics {
    pub(super) stats: Stats,
    pub(super) streams: Streams,
}

impl Collector for StreamMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // One snapshot for all metrics, so that they are consistent.
        let now = self.stats.snapshot();
        encode_streams(&now, &mut encoder)?;
        encode_labels(&now, &mut encoder)?;

        let metric =
            ("sse_streams_limited", "Streams that were refused at the limit of a subject.");
        let limits = self.streams.stats();
        let limited = limits.refused_by_prefix;
        let limited =
            limited.iter().map(|(prefix, refused)| (&**prefix, ConstCounter::new(*refused)));
        encode_family(&mut encoder, metric, Counter, "prefix", limited)
    }
}

fn encode_streams(now: &StatsSnapshot, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let open = ConstGauge::new(now.open);
    encode_gauge(encoder, "sse_streams_open", "Streams that are open.", None, &open)?;

    let metric = ("sse_streams_closed", "Streams that have closed, by reason.");
    let closed = &now.closed_by_reason;
    let closed = closed.iter().map(|(reason, count)| (reason.as_str(), ConstCounter::new(*count)));
    encode_family(encoder, metric, Counter, "reason", closed)?;

    for (name, help, count) in [
        ("sse_streams_opened", "Streams that were opened.", now.opened),
        ("sse_streams_refused", "Streams that were refused.", now.refused),
        ("sse_frames", "Frames of data that were sent.", now.frames),
        ("sse_bytes", "Bytes that were sent.", now.bytes),
        ("sse_heartbeats", "Frames that were heartbeats.", now.heartbeats),
    ] {
        encode_counter(encoder, name, help, count)?;
    }
    Ok(())
}

fn encode_labels(now: &StatsSnapshot, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let metric = ("sse_label_streams_open", "Streams that are open, by label.");
    let open =
        now.by_label.iter().map(|(label, streams)| (&**label, ConstGauge::new(streams.open)));
    encode_family(encoder, metric, Gauge, "label", open)?;

    let metric = ("sse_label_streams_opened", "Streams that were opened, by label.");
    let opened =
        now.by_label.iter().map(|(label, streams)| (&**label, ConstCounter::new(streams.opened)));
    encode_family(encoder, metric, Counter, "label", opened)
}
