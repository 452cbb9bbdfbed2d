//! What benchmarks over sockets share: servers in processes of their own, a client that costs less
//! than they do, the clock of both, and the record of all rounds.

pub mod client;
pub mod clock;
pub mod listen;
pub mod process;
pub mod record;
pub mod request;
pub mod streams;

/// Returns the median, or `None` without figures.
pub fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}
