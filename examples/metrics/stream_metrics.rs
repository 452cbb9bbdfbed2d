use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use tower_sse::Stats;

/// A collector of counters that the layer keeps.
#[derive(Debug)]
pub(super) struct StreamMetrics {
    pub(super) stats: Stats,
}

impl Collector for StreamMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // One snapshot for all metrics, so that they are consistent.
        let now = self.stats.snapshot();

        let open = ConstGauge::new(now.open());
        let help = "Streams that are open.";
        open.encode(encoder.encode_descriptor(
            "sse_streams_open",
            help,
            None,
            open.metric_type(),
        )?)?;

        let help = "Streams that have closed, by reason.";
        let mut closed =
            encoder.encode_descriptor("sse_streams_closed", help, None, MetricType::Counter)?;
        for (reason, count) in now.closed_by_reason() {
            // Include zeros: a counter that appears only with its first count has no rate.
            let labels = [("reason", reason.as_str())];
            ConstCounter::new(count).encode(closed.encode_family(&labels)?)?;
        }

        // The encoder adds `_total`.
        for (name, help, count) in [
            ("sse_streams_opened", "Streams that were opened.", now.opened()),
            ("sse_streams_refused", "Streams that were refused.", now.refused()),
            ("sse_frames", "Frames of data that were sent.", now.frames()),
            ("sse_bytes", "Bytes that were sent.", now.bytes()),
            ("sse_heartbeats", "Frames that were heartbeats.", now.heartbeats()),
        ] {
            let count = ConstCounter::new(count);
            count.encode(encoder.encode_descriptor(name, help, None, count.metric_type())?)?;
        }
        Ok(())
    }
}
