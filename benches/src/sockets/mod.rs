//! What benchmarks over sockets share: clients that cost less than the servers, and a clock for
//! both.

pub mod clock;
pub mod streams;

/// Returns the median, or `None` if there are no figures.
pub fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}
