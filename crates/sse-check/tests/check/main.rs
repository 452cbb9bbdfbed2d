//! Runs the program with servers and proxies that have the problems it looks for, and with correct
//! ones.

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
