//! crates/tower-sse-redis/examples/cluster/run.sh chat_cluster
//!
//! Then open http://127.0.0.1:3000 in a browser. Set `PORT` to use another port.
//!
//! The example `chat` on two processes: their hubs share one stream in Redis, and nginx distributes
//! the pages. The script starts all of them and needs `redis-server` and `nginx`. Kill the process
//! that serves your page; the script prints the ids of the processes. The page moves to the other
//! process without a missing or duplicate message.
//!
//! Only one line differs from `chat`'s `main`: the hub is connected to Redis.
//!
//! To run a single process, with Redis at `REDIS_URL` or on this machine:
//!
//! cargo run --package tower-sse-redis --example chat_cluster --all-features

#[path = "../../../../examples/chat/main.rs"]
#[allow(dead_code)]
mod chat;

use std::env;

use tower_sse::BoxError;
use tower_sse_redis::Redis;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let hub = chat::limits().connect(Redis::open(&redis_url())?.broker("chat")).await?;
    chat::run(hub).await
}

fn redis_url() -> String {
    env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1/".to_owned())
}
