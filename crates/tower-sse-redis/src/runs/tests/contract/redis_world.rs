use std::thread;

use super::*;
use crate::RedisRuns;

/// The claim of the key that scenes use.
pub(crate) const CLAIM: &str = "app:run:{owner:name}";
/// The key whose absence says that the server has lost its data.
pub(crate) const DATA: &str = "app:run:data";
/// The id of the entry that ends a stream.
pub(crate) const END_ID: &str = "18446744073709551615-0";

/// A Redis server. Dropping it checks that every key expires.
pub(crate) struct Redis {
    pub(crate) server: Server,
    lease: Duration,
}

impl Redis {
    /// Starts a server. Returns `None`, and prints the reason, if Redis is not installed.
    pub(crate) async fn start(lease: Duration) -> Option<Self> {
        Some(Self { server: Server::start().await?, lease })
    }

    /// Returns the store of one more process.
    pub(crate) fn store(&self) -> RedisRuns {
        self.server.redis().runs("app").lease(self.lease)
    }

    /// Kills the server, and starts an empty one.
    pub(crate) async fn restart(&mut self) {
        self.server.kill();
        self.server.restart().await;
    }

    /// Sets a field of the claim.
    pub(crate) async fn set(&self, field: &str, value: impl ToString) {
        let value = value.to_string();
        _ = self.server.command::<u32>(&format!("HSET {CLAIM} {field} {value}")).await;
    }

    /// Returns how long a key is kept from now on, in milliseconds.
    pub(crate) async fn ttl_of(&self, key: &str) -> u64 {
        let ttl: i64 = self.server.command(&format!("PTTL {key}")).await;
        ttl.try_into().expect("a time to live")
    }

    /// Returns the ids of the stream's entries.
    pub(crate) async fn ids(&self, epoch: &str) -> Vec<String> {
        let command = format!("XRANGE {} - +", stream(epoch));
        let entries: Vec<(String, redis::Value)> = self.server.command(&command).await;
        entries.into_iter().map(|(id, _)| id).collect()
    }

    /// Ends the time in which owners restore their claims.
    pub(crate) async fn restored(&self) {
        _ = self.server.command::<u32>(&format!("HDEL {DATA} u")).await;
    }

    /// Loses all data, while processes are connected.
    pub(crate) async fn lose_data(&self) {
        let _: String = self.server.command("FLUSHALL").await;
    }

    pub(crate) async fn lose(&self, key: &str) {
        assert_eq!(self.server.command::<u32>(&format!("DEL {key}")).await, 1, "{key}");
    }
}

/// Returns the name of a run's stream, for the key that scenes use.
pub(crate) fn stream(epoch: &str) -> String {
    format!("{CLAIM}:{epoch}")
}

impl Drop for Redis {
    fn drop(&mut self) {
        if !thread::panicking() {
            assert_no_eternal_keys(&self.server);
        }
    }
}
