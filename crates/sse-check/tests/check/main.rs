//! The program against servers and proxies that do what each check looks for, and against such that do
//! it right.

#[path = "../../../../tests/support/port.rs"]
mod port;
#[path = "../../../../tests/support/tool.rs"]
mod tool;

mod checks;
mod errors;
mod hops;
mod proxies;
mod report;
mod server;
mod servers;
