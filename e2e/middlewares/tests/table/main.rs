//! Common middlewares outside and inside of `SseLayer`. Run by `.ci/slow middlewares`. The results
//! are in docs/middlewares.md, which this test writes if `TOWER_SSE_MIDDLEWARES` is `write`.

mod facts;
mod rows;
mod table;
mod uncomposable;

#[path = "../../../../tests/support/middleware.rs"]
mod middleware;
#[path = "../../../../tests/support/quoted.rs"]
mod quoted;
#[path = "../../../../tests/support/mod.rs"]
mod support;

use middleware::{Compose, Control, differences};
use rows::Row;
use support::*;
