//! The models are in `tests/`. They are run by
//!
//! ```sh
//! RUSTFLAGS="--cfg tower_sse_loom" cargo test --release --package tower-sse-loom --target-dir target/loom
//! ```
//!
//! With that cfg the hub's locks and atomics are loom's. The name is not `loom`, which would change tokio
//! too; it is no feature, which would turn it on for whoever builds with all features; and the package
//! is one of its own, so that few crates are built anew for it.
