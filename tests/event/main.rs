//! Events, their bytes, and the bodies that carry them.

mod boundary;
mod decoder;
mod event_body;
mod message_stream;
mod producers;
mod roundtrip;
mod splitter;
mod wire;

#[path = "../support/cuts.rs"]
mod cuts;
#[path = "../support/mod.rs"]
mod support;
