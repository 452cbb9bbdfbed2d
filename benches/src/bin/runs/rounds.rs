use allocation_counter::measure;

use crate::*;

const ROUNDS: usize = 30;

/// What one repetition of a case costs. Times are in nanoseconds.
pub(crate) struct Cost {
    pub(crate) median: f64,
    pub(crate) minimum: f64,
    /// Bytes that the case produced.
    pub(crate) bytes: f64,
    pub(crate) allocations: f64,
}

/// Measures each case in interleaved rounds, so that other load on the machine affects all cases
/// alike. A round does the work of a case `times` times.
pub(crate) fn run(cases: &mut [Case], times: u64) -> Vec<Cost> {
    let mut nanoseconds = vec![Vec::with_capacity(ROUNDS); cases.len()];
    for round in 0..=ROUNDS {
        for (case, nanoseconds) in cases.iter_mut().zip(&mut nanoseconds) {
            let started = Instant::now();
            black_box(case.run(times));
            let time = started.elapsed().as_nanos() as f64 / times as f64;
            // The first round warms up.
            if round > 0 {
                nanoseconds.push(time);
            }
        }
    }
    cases.iter_mut().zip(nanoseconds).map(|(case, times_of)| cost(case, times_of, times)).collect()
}

fn cost(case: &mut Case, mut nanoseconds: Vec<f64>, times: u64) -> Cost {
    nanoseconds.sort_by(f64::total_cmp);
    let mut bytes = 0;
    let counted = measure(|| bytes = case.run(times));
    Cost {
        median: nanoseconds[nanoseconds.len() / 2],
        minimum: nanoseconds[0],
        bytes: bytes as f64 / times as f64,
        allocations: counted.count_total as f64 / times as f64,
    }
}

pub(crate) fn print(cases: &mut [Case], times: u64) {
    println!("| | | ns, median | ns, minimum | bytes | allocations |");
    println!("|---|---|---:|---:|---:|---:|");
    for (cost, case) in run(cases, times).iter().zip(&*cases) {
        let Cost { median, minimum, bytes, allocations } = cost;
        println!(
            "| {} | {} | {median:.1} | {minimum:.1} | {bytes:.0} | {allocations:.2} |",
            case.subject, case.work
        );
    }
}
