//! `SseLayer` combined with widely used layers, each inside of it and outside, with a real stream.

mod application;
mod compression;
mod layers;
#[cfg(all(feature = "early-head", feature = "filter", feature = "runs"))]
mod stacks;
mod trace;

use self::application::{Place, assert_streams, call, get_request};
