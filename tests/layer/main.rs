//! Changes of the layer to requests and to response heads, and what it leaves unchanged.

mod accept;
mod foreign;
mod headers;
mod last_event_id;
mod limit;
mod nested;
mod options;
mod refusal;
mod without_body;

#[path = "../support/mod.rs"]
mod support;
