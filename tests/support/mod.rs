//! Helpers of several tests: servers on ports of their own, clients, and bodies polled by hand.

// Every test uses a part of it.
#![allow(dead_code, unreachable_pub, unused_imports)]

pub mod body;
pub mod client;
pub mod naive;
pub mod patience;
pub mod peer;
pub mod requester;
pub mod server;
pub mod source;

pub use self::{
    body::{Polled, poll_frame},
    client::{EventReader, connect_h1, connect_h2},
    patience::{PATIENCE, soon},
    requester::Requester,
    server::serve_axum,
    source::{Feed, event_stream, through},
};
