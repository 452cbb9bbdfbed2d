//! Starting runs: from requests through the layer, and from calls of the program.
//!
//! - [`RunLayer`] and [`RunService`] are the middleware. [`join::join_or_call`] decides for each
//!   request with a key whether it joins a run or calls the service.
//! - [`start`] has [`Runs::start`](crate::runs::Runs::start) and
//!   [`Runs::replace`](crate::runs::Runs::replace), and [`start_with`] the same for sources that must
//!   wait before they can stream.
//! - [`RunTask`] drives one call and its body. Its [`Recorder`](recorder::Recorder) appends the
//!   events to the record, and its
//!   [`Producer`](super::process::Producer) ends the run on every exit path.

mod answer;
mod join;
mod layer;
mod recorder;
mod service;
mod span;
mod start;
mod start_with;
mod task;

pub use self::{
    layer::RunLayer,
    service::{RunFuture, RunService},
};
