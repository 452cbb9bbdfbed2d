use crate::*;

/// The server's figures, one sample after another.
pub(crate) struct Curve {
    samples: Vec<(f64, Figures)>,
}

/// A figure that must not grow.
struct Metric {
    name: &'static str,
    of: fn(&Figures) -> u64,
    /// How much the median of the last quarter may exceed the median of the second quarter, besides
    /// 5 %.
    noise: u64,
}

const METRICS: [Metric; 3] = [
    Metric { name: "memory in KiB", of: |it| it.memory, noise: 2048 },
    Metric { name: "descriptors", of: |it| it.descriptors, noise: 5 },
    Metric { name: "tasks", of: |it| it.tasks, noise: 5 },
];

impl Curve {
    /// Takes samples until the plan's end. Kills Redis in the third quarter and starts it without
    /// its data.
    pub(crate) async fn record(plan: &Plan, control: &mut Control, redis: &mut Server) -> Self {
        let (began, mut due) = (Instant::now(), interval(plan.sample));
        let (mut samples, mut has_restarted) = (Vec::new(), false);
        while began.elapsed() < plan.duration {
            due.tick().await;
            let figures = control.figures().await;
            samples.push((began.elapsed().as_secs_f64(), figures));
            if !has_restarted && began.elapsed() > plan.duration.mul_f64(0.6) {
                has_restarted = true;
                redis.kill();
                redis.restart().await;
            }
        }
        Self { samples }
    }

    /// Asserts that no figure grows from the second quarter to the last one by more than 5 % plus
    /// its noise. A figure may also grow by one for each additional open stream, because clients
    /// leave later on a busy machine.
    pub(crate) fn assert_no_growth(&self) {
        assert!(self.samples.len() >= 16, "{} samples", self.samples.len());
        let open = |it: &Figures| it.open;
        let opened = self.median(3, open).saturating_sub(self.median(1, open));
        for Metric { name, of, noise } in METRICS {
            let (second, last) = (self.median(1, of), self.median(3, of));
            let limit = second + second / 20 + noise + opened;
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

/// Draws each metric from zero to its largest value, over the time of the soak.
pub(crate) fn to_svg(curve: &Curve) -> String {
    let mut svg = "<svg xmlns='http://www.w3.org/2000/svg' width='800' height='600'>\n".to_owned();
    let end = curve.samples.last().unwrap().0;
    for (Metric { name, of, .. }, bottom) in METRICS.iter().zip([190.0, 390.0, 590.0]) {
        let largest = curve.samples.iter().map(|(_, it)| of(it)).max().unwrap();
        writeln!(svg, "<text y='{}'>{name}, up to {largest}</text>", bottom - 160.0).unwrap();
        svg.push_str("<polyline fill='none' stroke='black' points='");
        for (second, it) in &curve.samples {
            let height = 150.0 * of(it) as f64 / largest as f64;
            write!(svg, "{:.1},{:.1} ", 800.0 * second / end, bottom - height).unwrap();
        }
        svg.push_str("'/>\n");
    }
    svg + "</svg>\n"
}
