//! How the program closes the streams of a subject, poll by poll, under a paused clock.

mod ends;
#[cfg(feature = "axum")]
mod extractor;
#[cfg(feature = "early-head")]
mod late;
mod limits;
mod races;
pub(crate) mod rig;
mod scope;

use self::rig::now;
