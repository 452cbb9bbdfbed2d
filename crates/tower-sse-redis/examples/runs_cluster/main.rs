//! crates/tower-sse-redis/examples/cluster/run.sh runs_cluster
//!
//! Then open http://127.0.0.1:3000 in a browser. Set `PORT` to use another port.
//!
//! The example `runs` on two processes: they share their runs over Redis, and nginx gives each
//! request to the next process. A reload, a second tab and the stop button work through either
//! process. The script starts all of them and needs `redis-server` and `nginx`. Kill a process; the
//! script prints the processes' ids. The other process's answers continue without a missing or
//! duplicate word. Pages that show an answer from the killed process report that it is lost.
//!
//! The example `runs` builds its `Runs` in memory. This example connects them to Redis. The hub,
//! which carries the figures that the page shows, is connected too.
//!
//! To run a single process, with Redis at `REDIS_URL` or on this machine:
//!
//! cargo run --package tower-sse-redis --example runs_cluster --all-features

#[path = "../../../../examples/runs/main.rs"]
#[allow(dead_code)]
mod runs;

use std::env;

use tower_sse::{BoxError, hub::Hub};
use tower_sse_redis::Redis;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let redis = Redis::open(&redis_url())?;
    let runs = runs::settings().connect(redis.runs("runs")).await?;
    let hub = Hub::connect(redis.broker("figures")).await?;
    Ok(runs::run(runs, hub).await?)
}

fn redis_url() -> String {
    env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1/".to_owned())
}
