//! The store against a real server, which each test starts.

mod access;
mod commands;
mod connections;
mod failures;
mod process;
mod pushes;
mod relay;
mod server;
