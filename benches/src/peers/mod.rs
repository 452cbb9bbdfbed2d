//! The peers, this crate and the theoretical limits, one file each. If a peer creates a response,
//! we poll the response's body. Ours is always boxed.

pub mod actix;
pub mod axum;
pub mod limit;
pub mod ours;
pub mod poem;
pub mod sse_stream;
pub mod warp;
