#![cfg(tower_sse_simulation)]
#![warn(missing_debug_implementations, rust_2018_idioms, unreachable_pub)]

mod client;
mod faults;
mod journal;
mod kinds;
mod log;
mod oracle;
mod process;
mod publications;
mod redis;
mod scenes;
mod scheduler;
mod seeds;
mod simulation;
