//! Runs one case, so that `callgrind.sh` can count its instructions.
//!
//! `instructions` lists the cases; `instructions WORK SUBJECT TIMES` runs one.

use std::{env, hint::black_box};

use tower_sse_benches::{cases, decode, encode, filter, hub, in_runtime, layer};

fn main() {
    let args: Vec<_> = env::args().skip(1).collect();
    match &*args {
        [] => {
            for case in cases() {
                println!("{}\t{}", case.work, case.subject);
            }
        }
        [work, subject, times] => {
            let times = times.parse().expect("a number");
            // Group by group, because making all cases takes far more instructions than running one.
            let groups = [encode::cases, hub::cases, layer::cases, filter::cases, decode::cases];
            let mut case = groups
                .into_iter()
                .flat_map(|cases| cases())
                .find(|case| case.work == work && case.subject == subject)
                .expect("a case of that name");
            in_runtime(|| black_box(case.run(times)));
        }
        _ => panic!("usage: instructions [WORK SUBJECT TIMES]"),
    }
}
