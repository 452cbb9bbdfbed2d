//! `SseLayer` combined with widely used layers, each inside of it and outside, with a real stream.

mod application;
mod body_timers;
mod catch_panic;
mod compression;
mod cors;
mod drain;
mod grpc_web;
mod in_flight_requests;
mod limits;
mod paths_and_ids;
mod trace;
