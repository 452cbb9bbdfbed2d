//! What a hub guarantees to its broker. The kit that checks brokers is tested in
//! `crates/tower-sse-broker`.

mod dropped;
mod feed;
mod readers;
