//! Compiler inference: the kind of service inside `SseLayer::new()` in every position of a layer,
//! which types are `Send`, `Sync`, `Unpin` and `Clone`, and the compiler's errors.

mod auto_traits;
mod compiler;
mod errors;
mod places;
