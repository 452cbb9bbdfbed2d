//! `cargo bench --bench hub`: publishing, subscribing and resuming in memory. Publishing and
//! subscribing are compared with a channel of tokio.
//!
//! To compare rows, use `record.sh`, whose rounds are interleaved, or `peers.sh` over sockets.

use criterion::{Criterion, criterion_group, criterion_main};
use tower_sse_benches::hub;

mod groups;

fn bench(criterion: &mut Criterion) {
    groups::bench(criterion, hub::cases(), 100);
}

criterion_group! { name = benches; config = groups::short(); targets = bench }
criterion_main!(benches);
