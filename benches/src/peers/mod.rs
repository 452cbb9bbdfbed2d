//! One file each. Whoever has a response has its body polled; whoever has a boxed one has ours boxed
//! beside it.

pub mod actix;
pub mod axum;
pub mod limit;
pub mod ours;
pub mod poem;
pub mod sse_stream;
pub mod warp;
