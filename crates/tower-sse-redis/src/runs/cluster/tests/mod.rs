//! Two or three processes that share a store in memory, under a paused clock.

mod ahead;
mod away;
mod claims;
mod clients;
mod ends;
mod faults;
mod forged;
mod full;
mod given_back;
mod last_event;
mod layer;
mod live;
mod lost_claims;
mod memory;
mod options;
mod owner_dies;
mod panics;
mod rig;
mod round_trips;
mod stops;
mod watched;

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use tokio::time::{Instant, sleep};
use tower_sse::{
    Event, LastEventId,
    runs::{Outcome, RunKey, StartError},
};

use self::{clients::*, rig::*};
use crate::runs::seam::RunId;
