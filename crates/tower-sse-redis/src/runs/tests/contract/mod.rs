//! The promises of the store that processes share, on a real Redis server.
//!
//! The macro `scenes` makes a test of each function in its list, which takes a [`Scene`]: the test
//! `redis` in a module with the function's name.

/// Tests scenes, if Redis is installed.
macro_rules! scenes {
    ($($name:ident),* $(,)?) => {
        $(
            mod $name {
                #[tokio::test]
                async fn redis() {
                    let Some(scene) = super::super::redis().await else { return };
                    super::$name(scene).await;
                }
            }
        )*
    };
}

mod access;
mod check;
mod claim;
mod connections;
mod end;
#[path = "../../../../../../tests/support/eternal_keys.rs"]
mod eternal_keys;
mod holes;
mod lost_data;
mod process;
mod redis_world;
mod reply;
mod scene;
#[path = "../../../../../../tests/support/redis_server.rs"]
mod server;
mod streams;
mod sync;
mod times;

use std::sync::{Arc, Mutex};
use std::{fmt::Debug, time::Duration};

use bytes::Bytes;
use futures_util::future::{join, join_all};
use tokio::sync::watch;
use tokio::time::Instant;
use tower_sse::runs::{__private::Epoch, Outcome, RunKey};

use self::process::{Sync, *};
use self::reply::{received, text, utf8};
use crate::Redis as Servers;
use crate::runs::seam::*;
use crate::support::{free_port, soon, until_async};
use EndMode::{Discard, Forget, Release};

use eternal_keys::assert_no_eternal_keys;
use redis_world::{CLAIM, DATA, END_ID, Redis, stream};
use scene::{Scene, run, run_of};
use server::Server;

/// The lease of processes. No scene lasts a fifth of it, so no process sends a second beat.
const LEASE: Duration = Duration::from_secs(300);

/// Starts a Redis server and connects three processes, if Redis is installed.
async fn redis() -> Option<Scene> {
    Scene::start(LEASE).await
}
