#![cfg(tower_sse_simulation)]
#![warn(missing_debug_implementations, rust_2018_idioms, unreachable_pub)]

mod calls;
mod client;
mod crowd;
mod faults;
mod gate;
mod journal;
mod kinds;
mod oracle;
mod process;
mod scheduler;
mod service;
mod simulation;
mod world;
