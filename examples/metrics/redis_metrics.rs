use std::fmt;

use prometheus_client::{
    collector::Collector, encoding::DescriptorEncoder, metrics::gauge::ConstGauge, registry::Unit,
};
use tower_sse::redis::{BrokerStats, RedisHealth, StreamStats};

use super::hub_metrics::{encode_counter, encode_gauge};

/// A collector of the statistics of the hub's connection to Redis, and of its stream.
#[derive(Debug)]
pub(super) struct RedisMetrics {
    pub(super) health: RedisHealth,
    pub(super) stats: BrokerStats,
}

impl Collector for RedisMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        encode_health(&self.health, &mut encoder)?;
        encode_losses(&self.stats, &mut encoder)?;
        match self.stats.stream() {
            Some(stream) => encode_stream(&stream, &mut encoder),
            None => Ok(()),
        }
    }
}

fn encode_health(health: &RedisHealth, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    for (name, help, value) in [
        (
            "sse_redis_ready",
            "1 while the process follows the Redis stream, else 0.",
            health.is_ready(),
        ),
        ("sse_redis_evicts", "1 if Redis can evict the stream, else 0.", health.evicts()),
    ] {
        encode_gauge(encoder, name, help, None, &ConstGauge::new(i64::from(value)))?;
    }
    let help = "Times that a session was replaced.";
    encode_counter(encoder, "sse_redis_reconnections", help, health.reconnections())
}

fn encode_losses(stats: &BrokerStats, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    for (name, help, count) in [
        ("sse_redis_losses", "Times that events may have been lost.", stats.losses()),
        ("sse_redis_foreign_entries", "Entries that are no events.", stats.foreign_entries()),
    ] {
        encode_counter(encoder, name, help, count)?;
    }
    Ok(())
}

fn encode_stream(now: &StreamStats, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let sizes = [
        ("sse_redis_stream_entries", "Entries of the stream.", None, Some(now.entries())),
        (
            "sse_redis_stream_max_entries",
            "Entries above which the stream is trimmed.",
            None,
            Some(now.max_len()),
        ),
        ("sse_redis_stream_memory", "Memory of the stream.", Some(Unit::Bytes), now.memory()),
    ];
    for (name, help, unit, value) in sizes {
        // The memory is unknown without the permission to ask for it.
        let Some(value) = value else { continue };
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        encode_gauge(encoder, name, help, unit.as_ref(), &ConstGauge::new(value))?;
    }
    for (name, help, age) in [
        ("sse_redis_stream_oldest_age", "Age of the oldest entry.", now.oldest_age()),
        ("sse_redis_stream_retain_for", "Maximum age of the hub's events.", now.retain_for()),
    ] {
        let age = ConstGauge::new(age.as_secs_f64());
        encode_gauge(encoder, name, help, Some(&Unit::Seconds), &age)?;
    }
    Ok(())
}
