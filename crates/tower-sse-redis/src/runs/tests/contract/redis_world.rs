use std::thread;

use redis::{RedisResult, ToRedisArgs, cmd};

use super::*;
use crate::RedisRuns;

/// The claim of the key of scenes.
pub(crate) const CLAIM: &str = "app:run:{owner:name}";
/// The key that is missing only on a server that has lost its data.
pub(crate) const DATA: &str = "app:run:data";
/// The id of the entry that ends a stream.
pub(crate) const END_ID: &str = "18446744073709551615-0";

/// Sets back the times of all claims, and the one until which claims are restored.
const PASS: &str = "for _, key in ipairs(redis.call('KEYS', 'app:run:*')) do
    for _, field in ipairs({ 'l', 'w', 'x', 'y', 'u' }) do
        local is_hash = redis.call('TYPE', key).ok == 'hash'
        local time = is_hash and redis.call('HGET', key, field)
        if time then redis.call('HSET', key, field, time - ARGV[1]) end
    end
end";

/// A Redis server. Dropping it checks that every key expires.
pub(crate) struct Redis {
    pub(crate) server: Server,
    lease: Duration,
}

impl Redis {
    /// Returns `None`, and prints the reason, if Redis is not installed.
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

    pub(crate) async fn try_eval(
        &self,
        script: &str,
        keys: &[&str],
        arguments: impl ToRedisArgs,
    ) -> RedisResult<redis::Value> {
        let mut connection = self.server.try_connect().await.unwrap();
        let mut command = cmd("EVAL");
        command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
        command.query_async(&mut connection).await
    }

    /// Sets a field of the claim, as if it had been written at another time.
    pub(crate) async fn set(&self, field: &str, value: impl ToString) {
        let value = value.to_string();
        _ = self.server.command::<u32>(&format!("HSET {CLAIM} {field} {value}")).await;
    }

    pub(crate) async fn get(&self, field: &str) -> Option<String> {
        self.server.command(&format!("HGET {CLAIM} {field}")).await
    }

    /// Sets the end of the lease, in milliseconds before now.
    pub(crate) async fn expire_lease(&self, milliseconds: u64) {
        self.set("l", self.server.now().await - milliseconds).await;
    }

    /// Sets when the owner was first and last seen late, in milliseconds before now.
    pub(crate) async fn seen_late(&self, first: u64, last: u64) {
        let now = self.server.now().await;
        self.set("x", now - first).await;
        self.set("y", now - last).await;
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

    /// Lets time pass for leases and all that follows from them.
    pub(crate) async fn pass(&self, time: Duration) {
        _ = self.try_eval(PASS, &[], time.as_millis() as u64).await.unwrap();
    }

    /// Loses all data, while processes are connected.
    pub(crate) async fn lose_data(&self) {
        let _: String = self.server.command("FLUSHALL").await;
    }

    pub(crate) async fn lose(&self, key: &str) {
        assert_eq!(self.server.command::<u32>(&format!("DEL {key}")).await, 1, "{key}");
    }
}

/// Returns the name of the stream of a run of the key of scenes.
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
