//! An operator changes a server, and undoes most of the changes, while runs are read in all
//! processes.

use crate::*;

/// Sends commands as an operator would, waits, and sends the commands that undo them.
async fn disturb(commands: &[&str], undo: &[&str]) {
    nothing_is_lost_while(Cluster::start(), async |cluster| {
        let mut connection = cluster.redis.try_connect().await.unwrap();
        for (at, command) in commands.iter().chain(undo).enumerate() {
            if at == commands.len() {
                sleep(Duration::from_millis(1_500)).await;
            }
            let mut words = command.split_whitespace();
            let mut command = cmd(words.next().unwrap());
            words.for_each(|word| _ = command.arg(word.replace('_', " ")));
            let reply: redis::RedisResult<Value> = command.query_async(&mut connection).await;
            assert!(reply.is_ok(), "{reply:?}");
        }
    })
    .await;
}

macro_rules! disturbances {
    ($($name:ident: $commands:expr, $undo:expr;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                disturb(&$commands, &$undo).await;
            }
        )*
    };
}

disturbances! {
    paused: ["CLIENT PAUSE 1500 ALL"], ["CLIENT UNPAUSE"];
    paused_for_writes: ["CLIENT PAUSE 1500 WRITE"], ["CLIENT UNPAUSE"];
    full: ["CONFIG SET maxmemory 1"], ["CONFIG SET maxmemory 0"];
    full_and_evicting: ["CONFIG SET maxmemory-policy allkeys-lru", "CONFIG SET maxmemory 1"], ["CONFIG SET maxmemory 0"];
    without_permissions: ["ACL SETUSER default -evalsha -xadd -publish"], ["ACL SETUSER default +@all"];
    without_channels: ["ACL SETUSER default resetchannels"], ["ACL SETUSER default allchannels"];
    without_keys: ["ACL SETUSER default resetkeys"], ["ACL SETUSER default allkeys"];
    a_replica: ["REPLICAOF 127.0.0.1 1"], ["REPLICAOF NO ONE"];
    without_replicas: ["CONFIG SET min-replicas-to-write 1"], ["CONFIG SET min-replicas-to-write 0"];
    in_another_database: ["SWAPDB 0 1"], ["SWAPDB 0 1"];
    with_small_buffers: ["CONFIG SET client-output-buffer-limit pubsub_1_1_1"], ["CONFIG SET client-output-buffer-limit pubsub_0_0_0"];
    without_the_key_of_lost_data: ["DEL app:run:data"], [];
    with_lost_data_far_ahead: ["HSET app:run:data u 99999999999999 d 99999999999999"], [];
    with_lost_data_a_string: ["SET app:run:data text"], ["DEL app:run:data"];
}
