use std::thread;

use redis::{RedisResult, ToRedisArgs, cmd};

use super::*;
use crate::{Health, RedisRuns};

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
    healths: Mutex<Vec<Health>>,
    copy: Vec<(String, Vec<u8>)>,
}

impl Redis {
    pub(crate) fn new(server: Server, lease: Duration) -> Self {
        Self { server, lease, healths: Mutex::default(), copy: Vec::new() }
    }

    /// Returns the health of the process that has connected first.
    pub(crate) fn health(&self) -> Health {
        self.healths.lock().unwrap()[0].clone()
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

    async fn keys(&self) -> Vec<String> {
        self.server.command("KEYS app:run:{*").await
    }

    async fn delete(&self, key: &str) {
        assert_eq!(self.server.command::<u32>(&format!("DEL {key}")).await, 1, "{key}");
    }
}

/// Returns the name of the claim of a key with an owner.
fn claim(key: &RunKey) -> String {
    format!("app:run:{{{}:{}}}", key.owner().unwrap(), key.name())
}

/// Returns the name of the stream of a run of the key of scenes.
pub(crate) fn stream(epoch: &str) -> String {
    format!("{CLAIM}:{epoch}")
}

/// What a test can do to the server.
impl Redis {
    /// Returns `None`, and prints the reason, if Redis is not installed.
    pub(crate) async fn start(lease: Duration) -> Option<Self> {
        Some(Self::new(Server::start().await?, lease))
    }

    /// Returns the store of one more process.
    pub(crate) fn store(&self) -> RedisRuns {
        let store = self.server.redis().runs("app").lease(self.lease);
        self.healths.lock().unwrap().push(store.health());
        store
    }

    /// Returns the same, and the way to the store.
    pub(crate) async fn store_and_way(&self) -> (RedisRuns, Wire) {
        let wire = Wire::start(self.server.port()).await;
        let servers = tower_sse_redis::Redis::open(&wire.url()).unwrap();
        (servers.runs("app").lease(self.lease), wire)
    }

    /// Lets time pass for leases and all that follows from them.
    pub(crate) async fn pass(&self, time: Duration) {
        _ = self.try_eval(PASS, &[], time.as_millis() as u64).await.unwrap();
    }

    /// Loses all data, while processes are connected.
    pub(crate) async fn lose_data(&self) {
        let _: String = self.server.command("FLUSHALL").await;
    }

    pub(crate) async fn lose_claim(&self, key: &RunKey) {
        self.delete(&claim(key)).await;
    }

    pub(crate) async fn lose_stream(&self, run: &RunId) {
        self.delete(&format!("{}:{}", claim(&run.key), run.epoch)).await;
    }

    /// Copies all claims and streams.
    pub(crate) async fn copy(&mut self) {
        let mut connection = self.server.try_connect().await.unwrap();
        self.copy.clear();
        for key in self.keys().await {
            let dump = cmd("DUMP").arg(&key).query_async(&mut connection).await.unwrap();
            self.copy.push((key, dump));
        }
    }

    /// Replaces all data by the copy, as a fail-over to an older state does.
    pub(crate) async fn put_back(&self) {
        self.lose_data().await;
        let mut connection = self.server.try_connect().await.unwrap();
        for (key, dump) in &self.copy {
            let mut restore = cmd("RESTORE");
            restore.arg(key).arg(300_000).arg(dump);
            restore.query_async::<()>(&mut connection).await.unwrap();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if !thread::panicking() {
            assert_no_eternal_keys(&self.server);
        }
    }
}
