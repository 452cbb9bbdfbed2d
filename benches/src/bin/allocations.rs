//! Prints the allocations of all cases per event or request, as CSV. A separate program, because
//! the counting allocator takes time.

use allocation_counter::measure;
use tower_sse_benches::{REPETITIONS, cases, in_runtime};

fn main() {
    println!("work,subject,allocations");
    in_runtime(|| {
        for mut case in cases() {
            case.run(REPETITIONS);
            let counted = measure(|| {
                case.run(REPETITIONS);
            });
            println!(
                "{},{},{:.4}",
                case.work,
                case.subject,
                counted.count_total as f64 / REPETITIONS as f64
            );
        }
    });
}
