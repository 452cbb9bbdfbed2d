#![cfg(tower_sse_simulation)]
#![warn(missing_debug_implementations, rust_2018_idioms, unreachable_pub)]

mod client;
mod faults;
mod journal;
mod kinds;
mod oracle;
mod process;
mod publications;
mod scenes;
mod scheduler;
mod simulation;
