#![cfg(tower_sse_simulation)]
#![warn(missing_debug_implementations, rust_2018_idioms, unreachable_pub)]

mod calls;
mod client;
mod faults;
mod gate;
mod journal;
mod kinds;
#[path = "../simulation/log.rs"]
#[allow(dead_code)]
mod log;
mod oracle;
mod process;
mod redis;
mod scheduler;
mod seeds;
mod simulation;
mod world;
