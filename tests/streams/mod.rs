//! How the program closes the streams of a subject and limits their number.

mod ends;
#[cfg(feature = "axum")]
mod extractor;
#[cfg(feature = "early-head")]
mod late;
mod limits;
mod many;
mod races;
pub(crate) mod rig;
mod scope;

use self::rig::now;
