//! Up to four processes that share a model of Redis, under a paused clock.

mod ahead;
mod claims;
mod deaths;
mod ends;
mod faults;
mod full;
mod losses;
mod options;
mod panics;
mod permissions;
mod process;
mod rig;
mod round_trips;
mod shared;
mod watched;

use std::sync::{Arc, LazyLock, Mutex};
use std::{convert::Infallible, time::Duration};

use futures_util::future::{OptionFuture, join, join_all};
use futures_util::{FutureExt, StreamExt, stream};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, ServiceExt, service_fn};
use tower_sse::layer::SseBody;
use tower_sse::runs::{Attachment, Outcome, RunKey, RunsBuilder, StartError};
use tower_sse::{Event, LastEventId, StreamOptions, runs::__private::Epoch};

use self::{process::*, rig::*};
use crate::runs::seam::*;
