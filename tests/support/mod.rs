//! What several tests share: servers on a port of their own, clients, bodies polled by hand.

// Every test takes what it needs.
#![allow(dead_code, unused_imports)]

pub mod body;
pub mod client;
pub mod server;

pub use self::{
    body::{Polled, poll_frame},
    client::{EventReader, connect_h1, connect_h2},
    server::serve_axum,
};
