use std::fmt;

use prometheus_client::metrics::MetricType::{Counter, Gauge};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use prometheus_client::{
    metrics::counter::ConstCounter, metrics::gauge::ConstGauge, registry::Unit,
};
use tower_sse_redis::{BrokerStats, Health, LogStats};

use super::encode::{encode_counter, encode_family, encode_gauge};

/// A collector of the state of the connections to Redis, and of the statistics of the hub's stream.
#[derive(Clone, Debug)]
pub(super) struct RedisMetrics {
    pub(super) hub: Health,
    pub(super) runs: Health,
    pub(super) hub_stats: BrokerStats,
    pub(super) runs_stats: BrokerStats,
}

impl RedisMetrics {
    fn connections(&self) -> [(&'static str, &Health); 2] {
        [("hub", &self.hub), ("runs", &self.runs)]
    }

    /// Returns why the hub or the runs are not ready, or `None` if both are.
    pub(super) fn outage(&self) -> Option<String> {
        let (name, health) =
            self.connections().into_iter().find(|(_, health)| !health.is_ready())?;
        let error = health.last_error().map_or_else(String::new, |error| error.to_string());
        Some(format!("{name}: {error}"))
    }

    fn encode_connections(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let metric = ("sse_redis_ready", "1 while it is connected and has caught up, else 0.");
        let flag = |flag: bool| ConstGauge::new(i64::from(flag));
        let ready = self.connections().map(|(name, health)| (name, flag(health.is_ready())));
        encode_family(encoder, metric, Gauge, "connection", ready)?;

        let metric = ("sse_redis_evicts", "1 if Redis can evict keys, else 0.");
        let evicts = [("hub", &self.hub_stats), ("runs", &self.runs_stats)];
        let evicts = evicts.map(|(name, stats)| (name, flag(stats.evicts())));
        encode_family(encoder, metric, Gauge, "connection", evicts)?;

        let metric = ("sse_redis_reconnections", "Times that a connection was replaced.");
        let count = |health: &Health| ConstCounter::new(health.reconnections());
        let reconnections = self.connections().map(|(name, health)| (name, count(health)));
        encode_family(encoder, metric, Counter, "connection", reconnections)
    }
}

impl Collector for RedisMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_connections(&mut encoder)?;
        for (name, help, count) in [
            ("sse_redis_losses", "Times that events may have been lost.", self.hub_stats.losses()),
            (
                "sse_redis_foreign_entries",
                "Entries that are no events.",
                self.hub_stats.foreign_entries(),
            ),
        ] {
            encode_counter(&mut encoder, name, help, count)?;
        }
        match self.hub_stats.log() {
            Some(log) => encode_log(&log, &mut encoder),
            None => Ok(()),
        }
    }
}

fn encode_log(now: &LogStats, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let sizes = [
        ("sse_redis_stream_entries", "Entries of the stream.", None, now.events),
        (
            "sse_redis_stream_max_entries",
            "Entries above which the stream is trimmed.",
            None,
            Some(now.max_events),
        ),
        ("sse_redis_stream_memory", "Memory of the stream.", Some(Unit::Bytes), now.bytes),
    ];
    for (name, help, unit, value) in sizes {
        // Without permission to run `MEMORY USAGE`, the memory is unknown.
        let Some(value) = value else { continue };
        encode_gauge(encoder, name, help, unit.as_ref(), &ConstGauge::new(value))?;
    }
    for (name, help, age) in [
        ("sse_redis_stream_oldest_age", "Age of the oldest entry.", Some(now.oldest_age)),
        ("sse_redis_stream_retention_age", "Maximum age of the hub's events.", now.retention_age),
    ] {
        // Without an age limit, the oldest entry can't be too young.
        let Some(age) = age else { continue };
        let age = ConstGauge::new(age.as_secs_f64());
        encode_gauge(encoder, name, help, Some(&Unit::Seconds), &age)?;
    }
    Ok(())
}
