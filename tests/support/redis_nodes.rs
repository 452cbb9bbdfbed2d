//! A cluster of Redis servers.

#![allow(dead_code)]

use std::time::Duration;

use redis::{Value, cmd};
use tokio::time::sleep;

use super::server::Server;
use crate::support::{free_port, until_async};

/// The servers of a cluster, and which of them owns the slot of a test's key.
pub(crate) struct Nodes {
    /// Three servers, and then those that joined later.
    pub(crate) nodes: Vec<Server>,
    /// The index of the server that owns `slot`.
    pub(crate) owner: usize,
    pub(crate) slot: u16,
}

const SLOTS: [&str; 3] = ["0 5460", "5461 10922", "10923 16383"];

impl Nodes {
    /// Starts a cluster for the slot of this key. Returns `None` if `redis-server` is not
    /// installed.
    pub(crate) async fn start(key: &str) -> Option<Self> {
        let mut cluster = Self { nodes: Vec::new(), owner: 0, slot: 0 };
        for slots in SLOTS {
            let node = cluster.join().await?;
            let _: String = node.command(&format!("CLUSTER ADDSLOTSRANGE {slots}")).await;
            cluster.nodes.push(node);
        }
        for node in &cluster.nodes {
            is_ready(node).await;
        }
        cluster.slot = cluster.nodes[0].command(&format!("CLUSTER KEYSLOT {key}")).await;
        cluster.owner = usize::from(cluster.slot) * 3 / 16_384;
        Some(cluster)
    }

    async fn join(&self) -> Option<Server> {
        let bus = free_port();
        let options = format!(
            "--cluster-enabled yes --cluster-port {bus} --cluster-require-full-coverage no \
             --cluster-allow-reads-when-down yes --cluster-node-timeout 1000"
        );
        let node = Server::start_with(&options.split(' ').collect::<Vec<_>>()).await?;
        if let Some(first) = self.nodes.first() {
            let meet = format!("CLUSTER MEET 127.0.0.1 {} {bus}", node.port());
            let _: String = first.command(&meet).await;
        }
        Some(node)
    }

    pub(crate) async fn add_replica(&mut self) {
        let replica = self.join().await.expect("a server, as before");
        let owner: String = self.nodes[self.owner].command("CLUSTER MYID").await;
        // The new server refuses the command until it knows the owner.
        until_async(async || {
            let mut connection = replica.try_connect().await.unwrap();
            let mut replicate = cmd("CLUSTER");
            replicate.arg("REPLICATE").arg(&owner);
            replicate.query_async::<()>(&mut connection).await.is_ok()
        })
        .await;
        replica.is_linked().await;
        self.nodes.push(replica);
    }

    pub(crate) async fn add_node(&mut self) {
        let node = self.join().await.expect("a server, as before");
        is_ready(&node).await;
        self.nodes.push(node);
    }

    /// Waits until a replica has become a primary, which then owns the slot.
    pub(crate) async fn is_primary(&mut self, replica: usize) {
        let node = &self.nodes[replica];
        until_async(async || {
            node.command::<String>("INFO replication").await.contains("role:master")
        })
        .await;
        self.owner = replica;
    }

    /// Moves the slot to another server, key by key, as `redis-cli --cluster reshard` does.
    pub(crate) async fn move_slot(&mut self, to: usize, pause: Duration) {
        let (from, target, slot) = (&self.nodes[self.owner], &self.nodes[to], self.slot);
        let from_id: String = from.command("CLUSTER MYID").await;
        let target_id: String = target.command("CLUSTER MYID").await;
        let importing = format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}");
        let _: String = target.command(&importing).await;
        let migrating = format!("CLUSTER SETSLOT {slot} MIGRATING {target_id}");
        let _: String = from.command(&migrating).await;
        loop {
            let keys: Vec<String> = from.command(&format!("CLUSTER GETKEYSINSLOT {slot} 1")).await;
            let Some(key) = keys.first() else { break };
            let migrate = format!("MIGRATE 127.0.0.1 {} {key} 0 5000", target.port());
            let _: String = from.command(&migrate).await;
            sleep(pause).await;
        }
        // The new owner gets the command first, so that the slot always has an owner.
        for node in [target, from].into_iter().chain(&self.nodes) {
            let _: Value = node.command(&format!("CLUSTER SETSLOT {slot} NODE {target_id}")).await;
        }
        self.owner = to;
    }
}

async fn is_ready(node: &Server) {
    until_async(async || {
        let info: String = node.command("CLUSTER INFO").await;
        info.contains("cluster_state:ok") && info.contains("cluster_slots_assigned:16384")
    })
    .await;
}
