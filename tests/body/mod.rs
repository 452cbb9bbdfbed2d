//! The bodies of event streams, polled by hand. The tests of `boundary.rs`, `event_body.rs` and
//! `message_stream.rs` belong to the test target `event`.

mod bounds;
mod ends;
mod errors;
mod first_retry;
mod foreign;
mod heartbeat;
mod held;
mod lifetime;
mod repeated_id;
