use crate::*;

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

// The curve as a picture: one panel for each metric, over the same time.

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 80.0;
const TOP: f64 = 60.0;
/// The distance between the tops of two panels.
const PITCH: f64 = HEIGHT + 40.0;

pub(crate) fn to_svg(curve: &Curve, plan: &Plan) -> String {
    let seconds = plan.duration.as_secs_f64();
    let x = |second: f64| LEFT + WIDTH * (second / seconds).min(1.0);
    let (right, bottom) = (LEFT + WIDTH, TOP + PITCH * METRICS.len() as f64);
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{}' height='{}' \
         font-family='sans-serif' font-size='13'>\n<rect width='100%' height='100%' fill='white'/>\n",
        right + 30.0,
        bottom + 10.0
    );
    text(
        &mut svg,
        LEFT,
        22.0,
        "start",
        &format!(
            "{} streams for {seconds:.0} s; shaded: the quarters that are compared; red: Redis restarts",
            plan.streams
        ),
    );
    for (row, metric) in METRICS.iter().enumerate() {
        let top = TOP + PITCH * row as f64;
        for quarter in [1.0, 3.0] {
            rect(&mut svg, LEFT + WIDTH * quarter / 4.0, top);
        }
        panel(&mut svg, curve, metric, top, x);
        let restart = x(curve.restart);
        line(&mut svg, (restart, top), (restart, top + HEIGHT), "#c00");
    }
    for quarter in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let label = format!("{:.0} s", seconds * quarter);
        text(&mut svg, x(seconds * quarter), bottom - 22.0, "middle", &label);
    }
    svg + "</svg>\n"
}

/// Draws a metric from zero to a little above its largest value.
fn panel(svg: &mut String, curve: &Curve, metric: &Metric, top: f64, x: impl Fn(f64) -> f64) {
    let values = || curve.samples.iter().map(|(second, it)| (*second, (metric.of)(it) as f64));
    let largest = values().map(|(_, value)| value).fold(1.0, f64::max);
    let y = |value: f64| top + HEIGHT * (1.0 - value / (largest * 1.1));
    for value in [0.0, largest] {
        line(svg, (LEFT, y(value)), (LEFT + WIDTH, y(value)), "#bbb");
        text(svg, LEFT - 8.0, y(value) + 4.0, "end", &format!("{value:.0}"));
    }
    text(svg, LEFT, top - 8.0, "start", metric.name);
    svg.push_str("<polyline fill='none' stroke='#05a' stroke-width='1.5' points='");
    for (second, value) in values() {
        write!(svg, "{:.1},{:.1} ", x(second), y(value)).unwrap();
    }
    svg.push_str("'/>\n");
}

fn rect(svg: &mut String, x: f64, y: f64) {
    let width = WIDTH / 4.0;
    writeln!(svg, "<rect x='{x}' y='{y}' width='{width}' height='{HEIGHT}' fill='#eef4fa'/>")
        .unwrap();
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let ((x1, y1), (x2, y2)) = (from, to);
    writeln!(svg, "<line x1='{x1:.1}' y1='{y1:.1}' x2='{x2:.1}' y2='{y2:.1}' stroke='{colour}'/>")
        .unwrap();
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    writeln!(svg, "<text x='{x:.1}' y='{y:.1}' text-anchor='{anchor}'>{text}</text>").unwrap();
}
