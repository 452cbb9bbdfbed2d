use std::time::Duration;

use criterion::{Criterion, Throughput};
use tower_sse_benches::{Case, in_runtime};

/// Returns a configuration with short measurements, because there are many cases.
pub fn short() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
}

pub fn bench(criterion: &mut Criterion, cases: Vec<Case>, times: u64) {
    in_runtime(|| {
        for mut case in cases {
            let mut group = criterion.benchmark_group(case.work);
            group.throughput(Throughput::Elements(times));
            group.bench_function(case.subject, |bencher| bencher.iter(|| case.run(times)));
            group.finish();
        }
    });
}
