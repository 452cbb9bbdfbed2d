//! What the simulations share: the loop over seeds, the steps that a seed decides, processes, and
//! the verdict. The model of Redis that they use, and their log, are in `redis/`.
//!
//! The simulations are in `tests/`. Run them with
//!
//! ```sh
//! RUSTFLAGS="--cfg tower_sse_simulation --cfg tokio_unstable" \
//!     cargo test --release --package tower-sse-simulation --target-dir target/simulation
//! ```
//!
//! | variable | |
//! |---|---|
//! | `TOWER_SSE_SEEDS` | the number of seeds, 1,000 by default, and 500 for runs |
//! | `TOWER_SSE_FIRST_SEED` | the first seed, 0 by default |
//! | `TOWER_SSE_SEED` | the only seed, whose log is printed (with `--nocapture`) |
//!
//! - `tower_sse_simulation` lets a thread's processes connect to a model of Redis. Each process
//!   gets a clock, and tasks that end with the process. Everything else is the real code of the
//!   crate and its Redis client.
//! - `tokio_unstable` gives tokio's runtime a seed, which decides the order in which publishers
//!   that wait for a connection are woken.
//! - Both are cfgs and not features, so building with all features does not enable them.

#![cfg(tower_sse_simulation)]
#![warn(missing_debug_implementations, rust_2018_idioms, unreachable_pub)]

mod process;
mod scheduler;
mod seeds;
mod verdict;

pub use self::process::{Gate, Machines, Mode, Process, connect};
pub use self::scheduler::{Pace, Scheduler, choose_few, choose_near, choose_time};
pub use self::seeds::{check_repeatable, check_seeds, runtime};
pub use self::verdict::Verdict;
pub use tower_sse_redis_model::{self as redis, Log};

/// Adds an item to a list and returns its number.
pub fn add<T>(list: &mut Vec<T>, item: T) -> usize {
    list.push(item);
    list.len() - 1
}

/// Lets the processes of this thread open their connections to these servers.
pub fn serve_this_thread(network: &redis::Network) {
    let network = network.clone();
    tower_sse_redis::set_dialer(move |host| Some(network.clone().dial(host.to_owned())));
}
