//! The promises of the store that processes share, in memory and on a real Redis server.
//!
//! A scene is a test of both stores, named `memory` and `redis` in a module of the scene's name. Those
//! of commands are in `claim`, `replace`, `sync`, `end`, `check`, `fence`, `holes` and `streams`, those
//! of programs whose processes share runs in `shared` and `losses`. The other modules test what Redis alone
//! promises.

/// Tests a scene with each store. The clock of the store in memory is paused.
macro_rules! scenes {
    ($stage:ident: $($name:ident),* $(,)?) => {
        $(
            mod $name {
                use super::super::{$stage, Memory, Redis};

                #[tokio::test(start_paused = true)]
                async fn memory() {
                    super::$name($stage::<Memory>::start().await.unwrap()).await;
                }

                #[tokio::test]
                async fn redis() {
                    let Some(stage) = $stage::<Redis>::start().await else { return };
                    super::$name(stage).await;
                }
            }
        )*
    };
}

mod access;
mod check;
mod claim;
mod clocks;
mod commands;
mod connections;
mod cost;
mod end;
#[path = "../../../../../../e2e/tests/runs_cluster/eternal_keys.rs"]
mod eternal_keys;
mod failures;
mod fence;
mod holes;
mod losses;
mod memory_world;
mod pair;
mod permissions;
mod process;
mod program;
mod proxy;
mod redis_world;
mod replace;
mod replaced;
mod reply;
mod scene;
#[path = "../../../../../../e2e/tests/redis/server.rs"]
#[allow(dead_code)]
mod server;
mod shared;
mod streams;
mod sync;
mod times;
mod together;
#[path = "../../../../../../e2e/tests/runs_cluster/wire.rs"]
#[allow(dead_code)]
mod wire;
mod world;

use std::time::Duration;

use crate::support::{soon, until_async};
use eternal_keys::assert_no_eternal_keys;
use memory_world::Memory;
use pair::Pair;
use process::Process;
use program::{Program, Source, assert_fails, assert_whole, read, send, turn};
use redis_world::{CLAIM, DATA, END_ID, Redis, stream};
use scene::{HEAD, RESTORE, Scene, Sync, key, run};
use server::Server;
use wire::Wire;
use world::{Way, World};

/// The lease of owners.
const LEASE: Duration = Duration::from_secs(8);
/// The grace period of this lease: three eighths.
const GRACE: Duration = Duration::from_secs(3);

/// Starts a Redis server for a test of what it alone promises. Returns `None` if it is not installed.
async fn redis() -> Option<Scene<Redis>> {
    Scene::start().await
}

async fn redis_with(lease: Duration) -> Option<Scene<Redis>> {
    Some(Scene::of(Redis::start(lease).await?).await)
}
