//! The bodies of event streams, polled by hand. The tests of `boundary.rs`, `event_body.rs` and
//! `message_stream.rs` are in the program `event`.

mod bounds;
mod ends;
mod errors;
mod first_retry;
mod foreign;
mod heartbeat;
mod held;
mod lifetime;
