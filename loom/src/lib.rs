//! The models are in `tests/`. Run them with
//!
//! ```sh
//! RUSTFLAGS="--cfg tower_sse_loom" cargo test --release --package tower-sse-loom --target-dir target/loom
//! ```
//!
//! That cfg replaces most locks and atomics of the hub, of runs, of shutdowns and of early heads with
//! loom's.
//!
//! - The cfg is not named `loom`, because that would change tokio too.
//! - It's a cfg and not a feature, so building with all features does not enable it.
//! - The models are in their own package, so that few crates are rebuilt for them.
