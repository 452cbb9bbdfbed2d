//! The bodies of event streams, polled by hand. The program `event` has the tests of bodies that no
//! layer wraps: `boundary.rs`, `event_body.rs` and `message_stream.rs`.

mod bounds;
mod ends;
mod errors;
mod first_retry;
mod foreign;
mod heartbeat;
mod held;
mod lifetime;
