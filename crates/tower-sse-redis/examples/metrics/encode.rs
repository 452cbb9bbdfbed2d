//! What the collectors have in common.

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

/// Encodes a counter, to whose name the encoder adds `_total`.
pub(super) fn encode_counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    count: u64,
) -> fmt::Result {
    let counter = ConstCounter::new(count);
    counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
}

/// Encodes a sample for each value of a label. Include zeros: a counter that appears only with its
/// first count has no rate.
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
