//! The peers, one file each. If a peer makes a response, its body is polled; if that body is boxed,
//! ours is boxed too.

pub mod actix;
pub mod axum;
pub mod limit;
pub mod ours;
pub mod poem;
pub mod sse_stream;
pub mod warp;
