//! `cargo bench --bench decode`: streams decoded into messages by the crate and by its peers.
//!
//! To compare rows, use `record.sh`, whose rounds are interleaved.

use criterion::{Criterion, criterion_group, criterion_main};
use tower_sse_benches::decode;

mod groups;

fn bench(criterion: &mut Criterion) {
    groups::bench(criterion, decode::cases(), 10_000);
}

criterion_group! { name = benches; config = groups::short(); targets = bench }
criterion_main!(benches);
