//! Prints the average and the longest time of a publish in a hub whose memory is full. The longest
//! time bounds how long a lock is held, but includes interruptions by the scheduler.

use std::time::Instant;

use tower_sse_benches::hub::{published_at_limit, published_at_limit_to};
use tower_sse_benches::payload;

const PUBLISHED: u64 = 300_000;

fn measure(name: &str, mut publish: impl FnMut(u64) -> u64) {
    let started = Instant::now();
    publish(PUBLISHED);
    let mean = started.elapsed() / PUBLISHED as u32;
    let longest = (0..PUBLISHED).map(|_| {
        let started = Instant::now();
        publish(1);
        started.elapsed()
    });
    let longest = longest.max().unwrap_or_default();
    println!("| {name} | {} ns | {} µs |", mean.as_nanos(), longest.as_micros());
}

fn main() {
    println!("| publish at the memory limit | mean | longest |\n|---|---|---|");
    let text = payload::line(256);
    measure("to one topic alone", published_at_limit(0, text));
    measure("beside 100 topics", published_at_limit(100, text));
    measure("beside 100,000 topics", published_at_limit(100_000, text));
    measure("to one of 100,000 topics", published_at_limit_to(100_000, text));
}
