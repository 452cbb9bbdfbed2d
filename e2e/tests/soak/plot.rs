//! The curve as a picture: one panel for each metric, over the same time.

use std::fmt::Write;

use crate::{curve::Curve, plan::Plan, *};

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
