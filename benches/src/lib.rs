//! What is measured, and beside what: the same workloads for the crate, its peers and the limits.
//!
//! A [`Case`] is one implementation doing one work. The criterion benches, the timed comparison, the
//! allocation counts and the instruction counts all run the same cases.

use tokio::runtime;

pub mod drain;
pub mod encode;
pub mod http2;
pub mod hub;
pub mod layer;
pub mod noop;
pub mod payload;
pub mod peers;
pub mod stream;

/// The crate itself, as a [`Case::subject`].
pub const OURS: &str = "tower-sse";

/// One implementation doing one work.
pub struct Case {
    pub work: &'static str,
    pub subject: &'static str,
    run: Box<dyn FnMut(u64) -> u64>,
}

impl Case {
    pub fn new(
        work: &'static str,
        subject: &'static str,
        run: impl FnMut(u64) -> u64 + 'static,
    ) -> Self {
        Self { work, subject, run: Box::new(run) }
    }

    /// Does the work `times` times, by one body or one service; gives the bytes that came out.
    pub fn run(&mut self, times: u64) -> u64 {
        (self.run)(times)
    }
}

/// Every case there is, grouped by work.
pub fn cases() -> Vec<Case> {
    let mut cases = encode::cases();
    cases.extend(layer::cases());
    cases.extend(hub::cases());
    cases
}

/// How often a case's work is done for one measurement: enough for a clock, and for what a body
/// costs once to be nothing.
pub const REPETITIONS: u64 = 10_000;

/// Timers that peers make need a runtime around them.
pub fn in_runtime<T>(work: impl FnOnce() -> T) -> T {
    let runtime = runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without I/O");
    let _entered = runtime.enter();
    work()
}
