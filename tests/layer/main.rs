//! The layer without sockets: requests, heads, bodies polled by hand, reports, other layers around
//! it, and the compiler's inference.

mod accept;
mod allocations;
mod bounds;
mod composition;
mod defaults;
mod ends;
mod errors;
mod foreign;
mod headers;
mod heartbeat;
mod inference;
mod last_event_id;
mod lifetime;
mod limit;
mod logs;
mod nested;
mod options;
mod pages;
mod program_errors;
mod refusal;
mod reports;
mod rig;
mod streams;
mod testing;
mod unlayered;
mod without_body;

#[path = "../support/cuts.rs"]
mod cuts;
#[path = "../support/documented.rs"]
mod documented;
#[path = "../support/log.rs"]
mod log;
#[path = "../support/mod.rs"]
mod support;
