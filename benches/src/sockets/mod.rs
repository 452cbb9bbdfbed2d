//! What benchmarks over sockets share: servers in processes of their own, clients that cost less than
//! they do, and the clock of both.

pub mod clock;
pub mod process;
pub mod streams;

/// Returns the median, or `None` without figures.
pub fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}
