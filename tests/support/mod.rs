//! Helpers of several tests: servers on ports of their own, clients, and bodies polled by hand.

// Every test uses a part of it.
#![allow(dead_code, unreachable_pub, unused_imports)]

pub mod body;
pub mod client;
pub mod naive;
pub mod patience;
pub mod peer;
pub mod protocol;
pub mod reader;
pub mod requester;
pub mod server;
pub mod source;

pub use self::{
    body::{Polled, poll_frame},
    client::{connect_h1, connect_h2},
    patience::{PATIENCE, soon},
    protocol::{Connection, Protocol},
    reader::EventReader,
    requester::Requester,
    server::{listen, serve_axum, start},
    source::{Feed, event_stream, through},
};
