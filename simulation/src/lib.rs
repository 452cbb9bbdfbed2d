//! The simulations are in `tests/`. Run them with
//!
//! ```sh
//! RUSTFLAGS="--cfg tower_sse_simulation --cfg tokio_unstable" \
//!     cargo test --release --package tower-sse-simulation --target-dir target/simulation
//! ```
