//! Starting runs: from requests through the layer, and from calls of the program.
//!
//! - [`RunLayer`] and [`RunService`] are the middleware. [`join::join_or_call`] decides for each
//!   request with a key whether it joins a run or calls the service.
//! - [`start`] has [`Runs::start`](crate::runs::Runs::start) and
//!   [`Runs::replace`](crate::runs::Runs::replace), also for sources that must wait before they can
//!   stream.
//! - [`RunTask`](task::RunTask) drives one call and its body. Its [`Recorder`](task::Recorder) appends the
//!   events to the record, and its
//!   [`Producer`](super::process::Producer) ends the run on every exit path.

mod join;
mod run_layer;
mod start;
mod task;

pub use self::run_layer::{RunFuture, RunLayer, RunService};
pub use self::start::RunSource;
