use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::DescriptorEncoder,
    metrics::{MetricType::Counter, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};
use tower_sse::runs::{Runs, RunsStats};

use super::encode::{encode_counter, encode_family, encode_gauge};

/// A collector of the statistics of all runs.
#[derive(Debug)]
pub(super) struct RunsMetrics {
    pub(super) runs: Runs,
}

impl Collector for RunsMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.runs.stats();
        encode_gauges(&now, &mut encoder)?;
        encode_counters(&now, &mut encoder)?;

        let metric = ("sse_runs_ended", "Runs that have ended, by outcome.");
        let ended = now.ended_by_outcome();
        let ended = ended.map(|(outcome, count)| (outcome.as_str(), ConstCounter::new(count)));
        encode_family(&mut encoder, metric, Counter, "outcome", ended)
    }
}

fn encode_gauges(now: &RunsStats, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    for (name, help, unit, value) in [
        ("sse_runs_running", "Runs that are running.", None, now.running),
        ("sse_runs_kept", "Runs that have ended and are kept.", None, now.kept),
        ("sse_runs_attached", "Clients that are attached or wait.", None, now.attached),
        ("sse_runs_memory", "Memory of all runs.", Some(Unit::Bytes), now.memory),
        ("sse_runs_mirrors", "Copies of runs of other processes.", None, now.mirrors),
        (
            "sse_runs_waiting_exports",
            "Runs whose export to the store is overdue.",
            None,
            now.waiting_exports,
        ),
    ] {
        encode_gauge(encoder, name, help, unit.as_ref(), &ConstGauge::new(value))?;
    }
    Ok(())
}

fn encode_counters(now: &RunsStats, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    for (name, help, count) in [
        ("sse_runs_started", "Calls that were made.", now.started),
        ("sse_runs_refused", "Calls that were refused.", now.refused),
        ("sse_runs_lagged", "Clients that fell behind what is kept.", now.lagged),
        ("sse_runs_fenced", "Runs that another process declared dead.", now.fenced),
        ("sse_runs_declared_dead", "Runs that this process declared dead.", now.declared_dead),
        ("sse_runs_events", "Events of runs that have ended.", now.events),
        ("sse_runs_bytes", "Bytes of runs that have ended.", now.bytes),
    ] {
        encode_counter(encoder, name, help, count)?;
    }
    Ok(())
}
