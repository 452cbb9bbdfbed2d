//! crates/tower-sse-redis/examples/cluster/run.sh notifications_cluster
//!
//! Then open http://127.0.0.1:3000 in a browser. Set `PORT` to use another port.
//!
//! The example `notifications` on two processes: their hubs share one stream in Redis, and nginx
//! distributes the pages. The script starts all of them and needs `redis-server` and `nginx`. A
//! notification reaches the user's pages on both processes. A logout closes their streams.
//!
//! `main` differs from that of `notifications` in two things. The hub is connected to Redis. The
//! tables, which all processes share, are in Redis too. In your program, they are in your database.
//!
//! To run a single process, with Redis at `REDIS_URL` or on this machine:
//!
//! cargo run --package tower-sse-redis --example notifications_cluster --all-features

#[path = "../../../../examples/notifications/main.rs"]
#[allow(dead_code)]
mod notifications;

use std::env;

use notifications::database::{Answer, Database, Notification, User};
use redis::{AsyncCommands, Client, aio::MultiplexedConnection};
use tower_sse::{BoxError, hub::Hub};
use tower_sse_redis::Redis;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1/".to_owned());
    let hub = Hub::connect(Redis::open(&url)?.broker("notifications")).await?;
    let tables = Tables(Client::open(url)?.get_multiplexed_async_connection().await?);
    Ok(notifications::serve(hub, tables).await?)
}

#[derive(Clone)]
struct Tables(MultiplexedConnection);

impl Database for Tables {
    async fn add_session(&self, session: &str, user: User) -> Answer<()> {
        Ok(self.0.clone().hset("sessions", session, user.id).await?)
    }

    async fn delete_session(&self, session: &str) -> Answer<()> {
        Ok(self.0.clone().hdel("sessions", session).await?)
    }

    async fn user_of(&self, session: &str) -> Answer<Option<User>> {
        let id: Option<String> = self.0.clone().hget("sessions", session).await?;
        Ok(id.map(|id| User { id }))
    }

    async fn add(&self, topic: &str, text: String) -> Answer<Notification> {
        let id = self.0.clone().incr("ids", 1).await?;
        let added = Notification { id, topic: topic.to_owned(), text };
        let row = serde_json::to_string(&added)?;
        let () = self.0.clone().rpush("rows", row).await?;
        Ok(added)
    }

    async fn mark_read(&self, user: &User, id: u64) -> Answer<()> {
        Ok(self.0.clone().sadd(format!("read:{}", user.id), id).await?)
    }

    async fn unread(&self, user: &User) -> Answer<Vec<Notification>> {
        let rows: Vec<String> = self.0.clone().lrange("rows", 0, -1).await?;
        let read: Vec<u64> = self.0.clone().smembers(format!("read:{}", user.id)).await?;
        let rows: Vec<Notification> =
            rows.iter().map(|row| serde_json::from_str(row)).collect::<Result<_, _>>()?;
        let is_unread = |row: &Notification| row.is_for(user) && !read.contains(&row.id);
        Ok(rows.into_iter().filter(is_unread).collect())
    }
}
