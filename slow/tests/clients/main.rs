//! Runs, filters and limits with the language-model clients that `.ci/slow runs` installs.

#![cfg(unix)]

mod chats;
mod cuts;
mod filters;
mod graphs;
mod limits;
mod line_ends;
#[path = "../../../e2e/tests/runs/rig/mod.rs"]
mod rig;
#[path = "../../../tests/support/mod.rs"]
mod support;
mod upstream;

use rig::*;
