//! Runs `sse-check` with faulty and with correct servers and proxies.

#[path = "../../../../tests/support/programs.rs"]
mod support;

mod checks;
mod errors;
mod faulty_hop;
mod hop_stops;
mod hop_table;
mod hop_verdicts;
mod hops;
mod origins;
mod proxies;
mod report;
mod requests;
mod server;
mod servers;
