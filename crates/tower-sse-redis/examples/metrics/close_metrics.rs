use prometheus_client::registry::{Registry, Unit};
use prometheus_client::{metrics::family::Family, metrics::histogram::Histogram};
use tower_sse::CloseReport;

/// The upper bounds of the streams' ages, in seconds. If a proxy or client cuts streams, many of
/// them have the same age, such as one minute, five minutes or an hour.
const AGES: [f64; 9] = [1.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3_600.0, 86_400.0];

/// The upper bounds of the times to the first event, in seconds.
const FIRST_EVENTS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

type ByLabel = Family<[(&'static str, String); 1], Histogram, fn() -> Histogram>;

/// Metrics from the streams' close reports, by label.
#[derive(Clone, Debug)]
pub(super) struct CloseMetrics {
    ages: ByLabel,
    first_events: ByLabel,
}

impl CloseMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            ages: ByLabel::new_with_constructor(|| Histogram::new(AGES)),
            first_events: ByLabel::new_with_constructor(|| Histogram::new(FIRST_EVENTS)),
        };
        let help = "For how long streams were open that have closed";
        let ages = metrics.ages.clone();
        registry.register_with_unit("sse_stream_age", help, Unit::Seconds, ages);
        let help = "Time from the request to the first event, of streams that have closed";
        let first_events = metrics.first_events.clone();
        registry.register_with_unit("sse_first_event", help, Unit::Seconds, first_events);
        metrics
    }

    /// Measures a stream that has closed.
    pub(super) fn observe(&self, report: &CloseReport) {
        let label = [("label", report.label.as_deref().unwrap_or("other").to_owned())];
        if let Some(time) = report.time_to_first_event {
            self.first_events.get_or_create(&label).observe(time.as_secs_f64());
        }
        self.ages.get_or_create(&label).observe(report.age.as_secs_f64());
    }
}
