//! `cargo bench --bench encode`: ready events encoded into frames by the crate, by its peers, and
//! at the theoretical limit.
//!
//! To compare rows, use `record.sh`, whose rounds are interleaved.

use criterion::{Criterion, criterion_group, criterion_main};
use tower_sse_benches::encode;

mod groups;

fn bench(criterion: &mut Criterion) {
    groups::bench(criterion, encode::cases(), 10_000);
}

criterion_group! { name = benches; config = groups::short(); targets = bench }
criterion_main!(benches);
