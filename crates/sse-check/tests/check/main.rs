//! The program against servers and proxies that do what each check looks for, and against such that
//! do it right.

#[path = "../../../../tests/support/port.rs"]
#[allow(dead_code, unreachable_pub)]
mod port;
#[path = "../../../../tests/support/tool.rs"]
#[allow(dead_code, unreachable_pub)]
mod tool;

mod checks;
mod errors;
mod hops;
mod origins;
mod proxies;
mod report;
mod server;
mod servers;
