//! Times cases, by default all, in interleaved rounds, so that other load on the machine affects
//! them alike. Prints CSV with the minimum and the median of the rounds.
//!
//! `times [ROUNDS [PART-OF-A-WORK'S-NAME]]`

use std::{env, hint::black_box, time::Instant};

use tower_sse_benches::{Case, REPETITIONS, cases, in_runtime};

fn main() {
    let mut args = env::args().skip(1);
    let rounds = args.next().map_or(40, |rounds| rounds.parse().expect("a number of rounds"));
    let part = args.next().unwrap_or_default();
    let mut cases: Vec<_> = cases().into_iter().filter(|case| case.work.contains(&part)).collect();
    let mut times = vec![Vec::with_capacity(rounds); cases.len()];
    in_runtime(|| {
        for round in 0..=rounds {
            for (case, times) in cases.iter_mut().zip(&mut times) {
                let time = time(case);
                // The first round warms up.
                if round > 0 {
                    times.push(time);
                }
            }
        }
    });
    println!("work,subject,least_ns,median_ns");
    for (case, times) in cases.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        println!("{},{},{:.2},{:.2}", case.work, case.subject, times[0], times[times.len() / 2]);
    }
}

/// Returns the nanoseconds per event or request.
fn time(case: &mut Case) -> f64 {
    // Warm up: the previous case has left its own code and data in the caches, which would add
    // about a nanosecond per event.
    case.run(REPETITIONS / 5);
    let start = Instant::now();
    black_box(case.run(REPETITIONS));
    start.elapsed().as_nanos() as f64 / REPETITIONS as f64
}
