use std::fmt;

use prometheus_client::{
    collector::Collector, encoding::DescriptorEncoder, metrics::gauge::ConstGauge, registry::Unit,
};
use tower_sse::hub::{Hub, HubStats};

use super::encode::{encode_counter, encode_gauge};

/// A collector of the statistics of the hub.
#[derive(Debug)]
pub(super) struct HubMetrics {
    pub(super) hub: Hub,
}

impl Collector for HubMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encode_hub(&self.hub.stats(), &mut encoder)
    }
}

fn encode_hub(now: &HubStats, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    for (name, help, unit, value) in [
        ("sse_hub_memory", "Memory of events and topics.", Some(Unit::Bytes), now.memory),
        ("sse_hub_topics", "Topics that are used.", None, now.topics),
        ("sse_hub_events", "Events that are kept.", None, now.events),
        ("sse_hub_subscribers", "Subscriptions in this process.", None, now.subscribers),
    ] {
        encode_gauge(encoder, name, help, unit.as_ref(), &ConstGauge::new(value))?;
    }
    for (name, help, count) in [
        ("sse_hub_evicted", "Events that were evicted.", now.evicted),
        ("sse_hub_gaps", "Gaps that subscriptions have sent.", now.gaps),
    ] {
        encode_counter(encoder, name, help, count)?;
    }
    let Some(lag) = now.lag else { return Ok(()) };
    let help = "Age of the newest event when it was received.";
    let lag = ConstGauge::new(lag.as_secs_f64());
    encode_gauge(encoder, "sse_hub_lag", help, Some(&Unit::Seconds), &lag)
}
