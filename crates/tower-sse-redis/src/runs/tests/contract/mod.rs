//! The promises of the store that processes share, on a real Redis server.
//!
//! A scene is a test that is named `redis`, in a module of the scene's name. Scenes are in `claim`,
//! `replace`, `sync`, `end`, `check`, `holes` and `streams`. The other modules break the server
//! itself.

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
mod clocks;
mod connections;
mod end;
#[path = "../../../../../../tests/support/eternal_keys.rs"]
mod eternal_keys;
mod holes;
mod permissions;
mod process;
mod redis_world;
mod replace;
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
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tower_sse::runs::{Outcome, RunKey, support::Epoch};

use self::process::{CANCEL, completed, completed_with};
use self::reply::{batch, received, text, utf8};
use crate::runs::seam::{
    AppendReply, Batch, Command, Connection, End, EndMode, EndReply, Failure, Incoming, LookReply,
    Push, Renew, Reply, RunId, SyncReply,
};
use crate::runs::tests::program::soon;
use crate::{Redis as Servers, support::until_async};

use eternal_keys::assert_no_eternal_keys;
use process::Process;
use redis_world::{CLAIM, DATA, END_ID, Redis, stream};
use scene::{HEAD, RESTORE, Scene, Sync, run};
use server::Server;

/// The lease of owners.
const LEASE: Duration = Duration::from_secs(8);
/// The grace period of this lease: three eighths.
const GRACE: Duration = Duration::from_secs(3);

/// Starts a Redis server for a test of what it alone promises, if it is installed.
async fn redis() -> Option<Scene> {
    redis_with(LEASE).await
}

async fn redis_with(lease: Duration) -> Option<Scene> {
    Some(Scene::of(Redis::start(lease).await?).await)
}
