//! What the layer does to requests and to heads of responses, and what it leaves alone.

mod accept;
mod foreign;
mod headers;
mod last_event_id;
mod nested;
mod options;
mod without_body;

#[path = "../support/mod.rs"]
mod support;
