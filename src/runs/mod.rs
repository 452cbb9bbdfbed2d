//! Answers that outlive their client's connection.

mod answer;
mod attachment;
mod body;
mod builder;
mod call;
mod counters;
mod cutter;
mod deferred;
mod error;
mod key;
mod layer;
mod outcome;
mod producer;
mod reader;
mod readers;
mod record;
mod recorder;
mod registry;
mod run;
#[allow(clippy::module_inception)]
mod runs;
mod service;
mod shared;
mod span;
mod task;

pub use self::{
    attachment::Attachment,
    body::{AnswerBody, RunBody},
    builder::RunsBuilder,
    counters::RunsStats,
    error::{RunError, StartError},
    key::RunKey,
    layer::RunLayer,
    outcome::{Outcome, RunEnd},
    run::Run,
    runs::Runs,
    service::{RunFuture, RunService},
};
