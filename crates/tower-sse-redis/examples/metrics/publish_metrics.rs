use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use prometheus_client::{metrics::counter::Counter, metrics::family::Family};
use tokio::time::Instant;
use tower_sse::hub::{PublishError, Receipt};

/// The upper bounds of the latencies, in seconds.
const LATENCIES: [f64; 11] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5];

/// The outcomes and the latencies of publishing.
#[derive(Clone, Debug)]
pub(super) struct PublishMetrics {
    outcomes: Family<[(&'static str, &'static str); 1], Counter>,
    latency: Histogram,
}

impl PublishMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self { outcomes: Family::default(), latency: Histogram::new(LATENCIES) };
        // Begin at zero: Prometheus would miss the first increase of a counter that appears late.
        for outcome in ["acknowledged", "refused", "unknown"] {
            drop(metrics.outcomes.get_or_create(&[("outcome", outcome)]));
        }
        let help = "Events that were published, by outcome";
        registry.register("sse_publishes", help, metrics.outcomes.clone());
        let help = "Time until an event is acknowledged";
        let latency = metrics.latency.clone();
        registry.register_with_unit("sse_publish_latency", help, Unit::Seconds, latency);
        metrics
    }

    /// Records the outcome of a `publish` call and, if the event is acknowledged, the latency.
    pub(super) async fn observe(
        &self,
        publishing: impl Future<Output = Result<Receipt, PublishError>>,
    ) -> Result<Receipt, PublishError> {
        let began = Instant::now();
        let result = publishing.await;
        let outcome = match &result {
            Ok(_) => "acknowledged",
            Err(PublishError::Unknown(_)) => "unknown",
            Err(_) => "refused",
        };
        self.outcomes.get_or_create(&[("outcome", outcome)]).inc();
        if result.is_ok() {
            self.latency.observe(began.elapsed().as_secs_f64());
        }
        result
    }
}
