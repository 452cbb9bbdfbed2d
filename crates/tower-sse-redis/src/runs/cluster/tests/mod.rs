//! Two or three processes that share a store in memory, under a paused clock.

mod ahead;
mod claims;
mod ends;
mod faults;
mod full;
mod options;
mod panics;
mod rig;
mod round_trips;
mod watched;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt,
    future::{join, join_all},
    stream,
};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};
use tower_sse::{
    Event, LastEventId, StreamOptions,
    runs::{AnswerBody, Attachment, Outcome, RunKey, RunsBuilder, StartError, support::Epoch},
};

use self::rig::*;
use crate::runs::{
    seam::{Overhead, RunId},
    tests::program::*,
};
