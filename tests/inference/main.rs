//! Compiler inference: the kind of service inside `SseLayer::new()` in every position of a layer,
//! and which types are `Send`, `Sync`, `Unpin` and `Clone`.

mod auto_traits;
mod items;
mod places;
