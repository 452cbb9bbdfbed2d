mod join;
mod run_layer;
mod start;
mod task;

pub use self::run_layer::{RunFuture, RunLayer, RunService};
pub use self::start::RunSource;
