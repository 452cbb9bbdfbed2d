use std::fmt::Write;

use tokio::time::{Instant, interval};

use crate::{plan::Plan, server::Server, *};

/// The server's figures, one sample after another.
pub(crate) struct Curve {
    pub(crate) samples: Vec<(f64, Figures)>,
    /// When Redis was killed, in seconds.
    pub(crate) restart: f64,
}

/// A figure that must not grow.
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) of: fn(&Figures) -> u64,
    /// By how much the median of a quarter differs from that of another, besides 5 %.
    noise: u64,
}

pub(crate) const METRICS: [Metric; 3] = [
    Metric { name: "memory in KiB", of: |it| it.memory, noise: 2048 },
    Metric { name: "descriptors", of: |it| it.descriptors, noise: 5 },
    Metric { name: "tasks", of: |it| it.tasks, noise: 5 },
];

impl Curve {
    /// Takes samples until the plan's end. Kills Redis in the third quarter, and starts it without
    /// its data.
    pub(crate) async fn record(plan: &Plan, control: &mut Control, redis: &mut Server) -> Self {
        let (began, mut due) = (Instant::now(), interval(plan.sample));
        let mut curve = Self { samples: Vec::new(), restart: 0.0 };
        while began.elapsed() < plan.duration {
            due.tick().await;
            let figures = control.figures().await;
            curve.samples.push((began.elapsed().as_secs_f64(), figures));
            if curve.restart == 0.0 && began.elapsed() > plan.duration.mul_f64(0.6) {
                curve.restart = began.elapsed().as_secs_f64();
                redis.kill();
                redis.restart().await;
            }
        }
        curve
    }

    /// Asserts that no figure is larger in the last quarter than in the second one.
    pub(crate) fn assert_no_growth(&self) {
        assert!(self.samples.len() >= 16, "{} samples", self.samples.len());
        for Metric { name, of, noise } in METRICS {
            let (second, last) = (self.median(1, of), self.median(3, of));
            let limit = second + second / 20 + noise;
            assert!(last <= limit, "{name} grew from {second} to {last}, more than to {limit}");
        }
    }

    /// Returns the medians of all quarters.
    pub(crate) fn summary(&self) -> String {
        let mut summary = String::new();
        for Metric { name, of, .. } in METRICS {
            let quarters = [0, 1, 2, 3].map(|quarter| self.median(quarter, of));
            writeln!(summary, "{name}: {quarters:?}").unwrap();
        }
        summary
    }

    fn median(&self, quarter: usize, of: fn(&Figures) -> u64) -> u64 {
        let count = self.samples.len();
        let samples = &self.samples[count * quarter / 4..count * (quarter + 1) / 4];
        let mut values: Vec<_> = samples.iter().map(|(_, figures)| of(figures)).collect();
        values.sort_unstable();
        values[values.len() / 2]
    }

    pub(crate) fn to_csv(&self) -> String {
        let mut csv =
            "second,memory_kib,descriptors,tasks,open,topics,events,running,kept\n".to_owned();
        for (second, it) in &self.samples {
            let Figures { memory, descriptors, tasks, open, topics, events, running, kept, .. } =
                it;
            writeln!(
                csv,
                "{second:.0},{memory},{descriptors},{tasks},{open},{topics},{events},{running},{kept}"
            )
            .unwrap();
        }
        csv
    }
}
