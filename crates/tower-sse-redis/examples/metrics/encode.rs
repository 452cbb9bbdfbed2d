//! Functions that encode metrics.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::{metrics::MetricType, metrics::counter::ConstCounter, registry::Unit};

pub(super) fn encode_gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    gauge: &impl EncodeMetric,
) -> fmt::Result {
    gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
}

/// Encodes a counter. The encoder adds `_total` to its name.
pub(super) fn encode_counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    count: u64,
) -> fmt::Result {
    let counter = ConstCounter::new(count);
    counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
}

/// Encodes a sample for each value of a label. Include zeros: Prometheus misses a counter's first
/// increase if the counter only appears with it.
pub(super) fn encode_family<'v, M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    kind: MetricType,
    label: &str,
    samples: impl IntoIterator<Item = (&'v str, M)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for (value, sample) in samples {
        sample.encode(family.encode_family(&[(label, value)])?)?;
    }
    Ok(())
}
