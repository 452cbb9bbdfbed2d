//! What the layer does to requests and to heads of responses, and what it leaves alone.

mod accept;
mod foreign;
mod headers;
mod last_event_id;
mod limit;
mod nested;
mod options;
mod refusal;
mod unasked;
mod without_body;

#[path = "../reports/kind.rs"]
mod kind;
// What is reported of a way out is asked elsewhere.
#[allow(dead_code)]
#[path = "../reports/way_out.rs"]
mod way_out;

#[path = "../support/mod.rs"]
mod support;
