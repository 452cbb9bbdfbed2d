//! What the compiler must find out by itself: the kind of service inside `SseLayer::new()`, wherever
//! a layer can be, and which types are `Send`, `Sync`, `Unpin` and `Clone`.

mod auto_traits;
mod items;
mod places;
