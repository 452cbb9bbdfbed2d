//! How the program closes the streams of a subject, poll by poll, under a paused clock.

mod cost;
mod counts;
mod ends;
mod except;
#[cfg(feature = "axum")]
mod extractor;
mod limit_races;
mod limits;
mod races;
pub(crate) mod rig;
mod scope;
