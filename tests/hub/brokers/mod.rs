//! What a broker may rely on. The kit that checks brokers has its tests in `crates/tower-sse-broker`.

mod dropped;
mod feed;
mod readers;
