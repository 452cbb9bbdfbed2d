use redis::Value;

use crate::*;

/// Three servers that share all slots.
pub(crate) struct Cluster {
    pub(crate) nodes: [Server; 3],
    /// The index of the server that has the stream.
    pub(crate) owner: usize,
}

const SLOTS: [&str; 3] = ["0 5460", "5461 10922", "10923 16383"];

impl Cluster {
    pub(crate) async fn start() -> Option<Self> {
        let buses = [(); 3].map(|()| free_port());
        let mut nodes = Vec::new();
        for bus in buses {
            let options = format!(
                "--cluster-enabled yes --cluster-port {bus} --cluster-require-full-coverage no \
                 --cluster-allow-reads-when-down yes"
            );
            nodes.push(Server::start_with(&options.split(' ').collect::<Vec<_>>()).await?);
        }
        let nodes: [Server; 3] = nodes.try_into().ok()?;
        for (node, slots) in nodes.iter().zip(SLOTS) {
            let _: String = node.command(&format!("CLUSTER ADDSLOTSRANGE {slots}")).await;
        }
        for (node, bus) in nodes.iter().zip(buses).skip(1) {
            let meet = format!("CLUSTER MEET 127.0.0.1 {} {bus}", node.port());
            let _: String = nodes[0].command(&meet).await;
        }
        for node in &nodes {
            until_async(async || {
                let info: String = node.command("CLUSTER INFO").await;
                info.contains("cluster_state:ok") && info.contains("cluster_slots_assigned:16384")
            })
            .await;
        }
        let slot: usize = nodes[0].command("CLUSTER KEYSLOT tower-sse").await;
        Some(Self { nodes, owner: slot * 3 / 16_384 })
    }

    /// Moves the stream to another server, as `redis-cli --cluster reshard` does.
    pub(crate) async fn move_stream(&mut self, to: usize) {
        let [from, target] = [&self.nodes[self.owner], &self.nodes[to]];
        let slot: u16 = from.command("CLUSTER KEYSLOT tower-sse").await;
        let from_id: String = from.command("CLUSTER MYID").await;
        let target_id: String = target.command("CLUSTER MYID").await;
        let importing = format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}");
        let _: String = target.command(&importing).await;
        let migrating = format!("CLUSTER SETSLOT {slot} MIGRATING {target_id}");
        let _: String = from.command(&migrating).await;
        let migrate = format!("MIGRATE 127.0.0.1 {} tower-sse 0 5000", target.port());
        let _: String = from.command(&migrate).await;
        // The new owner first, so that no time is without one.
        for node in [target, from].into_iter().chain(&self.nodes) {
            let _: Value = node.command(&format!("CLUSTER SETSLOT {slot} NODE {target_id}")).await;
        }
        self.owner = to;
    }
}
