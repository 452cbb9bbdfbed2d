//! The measured workloads, the same for the crate, its peers, and the theoretical limits.
//!
//! A [`Case`] is one implementation doing one work. The timed comparison and the allocation counts
//! run all of the cases. The instruction counts run those that `callgrind.sh` lists, and the
//! criterion benches all except those of filters.

use std::task::{Context, Poll, Waker};
use std::{convert::Infallible, fmt::Debug, hint::black_box, iter, pin::Pin};

use bytes::Bytes;
use bytestring::ByteString;
use drain::now;
use futures_core::Stream;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::StreamBody;
use payload::{MESSAGE, Ownership, line};
use stream::Repeat;
use tokio::runtime;
use tower::{Layer, Service};
use tower_sse::{Event, SseLayer, event::Encoded};

pub mod decode;
pub mod drain;
pub mod encode;
pub mod filter;
pub mod hub;
pub mod layer;
pub mod noop;
pub mod payload;
pub mod peers;
#[cfg(unix)]
pub mod sockets;
pub mod stream;

/// The crate itself, as a [`Case::subject`].
pub const OURS: &str = "tower-sse";

/// One implementation of one work.
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

    /// Does the work `times` times, rounded down to whole chunks or frames. Returns the number of
    /// bytes produced, or `times` if the case does not count them.
    pub fn run(&mut self, times: u64) -> u64 {
        (self.run)(times)
    }
}

/// Returns all cases, grouped by work.
pub fn cases() -> Vec<Case> {
    let mut cases = encode::cases();
    cases.extend(decode::cases());
    cases.extend(filter::cases());
    cases.extend(layer::cases());
    cases.extend(hub::cases());
    cases
}

/// How often a case's work is done for one measurement: enough for the resolution of a clock, and
/// for the fixed cost of a body to vanish.
pub const REPETITIONS: u64 = 10_000;

/// Runs `work` inside a runtime, which the timers of peers need.
pub fn in_runtime<T>(work: impl FnOnce() -> T) -> T {
    let runtime = runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without I/O");
    let _entered = runtime.enter();
    work()
}
