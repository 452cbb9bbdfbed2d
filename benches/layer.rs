//! `cargo bench --bench layer`: the cost of the layer for whole responses, most of which are not
//! event streams.
//!
//! To compare rows, use `record.sh`, whose rounds are interleaved.

use criterion::{Criterion, criterion_group, criterion_main};
use tower_sse_benches::layer;

mod groups;

fn bench(criterion: &mut Criterion) {
    groups::bench(criterion, layer::cases(), 1_000);
}

criterion_group! { name = benches; config = groups::short(); targets = bench }
criterion_main!(benches);
