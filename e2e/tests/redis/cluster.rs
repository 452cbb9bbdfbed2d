use redis::Value;

use crate::{relay::Relay, *};

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

/// Starts a port at which a server reports itself as a replica in a cluster of Valkey does.
pub(crate) async fn as_replica_of_valkey(server: &Server) -> Relay {
    Relay::start(server.port(), |client: TcpStream, server: TcpStream| async {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let rename = async {
            let mut chunk = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = from_server.read(&mut chunk).await {
                // Together, the two changes keep the length, which precedes the reply.
                let renamed = String::from_utf8_lossy(&chunk[..length])
                    .replace("redis_mode:", "server_mode:")
                    .replace("role:master", "role:slave");
                if to_client.write_all(renamed.as_bytes()).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            _ = copy(&mut from_client, &mut to_server) => {}
            () = rename => {}
        }
    })
    .await
}

/// A Sentinel that watches a server with a replica. Dropping it kills it.
pub(crate) struct Sentinel {
    process: Child,
    client: redis::Client,
}

impl Sentinel {
    pub(crate) fn start(watched: &Server) -> Self {
        let port = free_port();
        // Sentinel writes to its configuration, in which it remembers the replicas.
        let file = watched.directory().join("sentinel.conf");
        let lines = [
            format!("port {port}"),
            "bind 127.0.0.1".to_owned(),
            format!("dir {}", watched.directory().display()),
            format!("sentinel monitor hub 127.0.0.1 {} 1", watched.port()),
            "sentinel down-after-milliseconds hub 300".to_owned(),
            "sentinel failover-timeout hub 3000".to_owned(),
        ];
        fs::write(&file, lines.join("\n")).unwrap();
        let process = Command::new(program().unwrap())
            .arg(&file)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}/")).unwrap();
        Self { process, client }
    }

    /// Returns the port of the server that has the name, or `None` while Sentinel does not answer.
    pub(crate) async fn primary(&self) -> Option<u16> {
        let mut connection = connect(&self.client).await.ok()?;
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg("hub");
        let (_, port): (String, String) = command.query_async(&mut connection).await.ok()?;
        port.parse().ok()
    }

    /// Returns whether it knows the replica, so that it can promote it.
    pub(crate) async fn knows_replica(&self) -> bool {
        self.ask("REPLICAS").await.is_ok_and(|replicas| {
            replicas.into_sequence().is_ok_and(|replicas| !replicas.is_empty())
        })
    }

    /// Promotes the replica although the server runs. Returns whether it has begun to.
    pub(crate) async fn fail_over(&self) -> bool {
        self.ask("FAILOVER").await.is_ok()
    }

    async fn ask(&self, what: &str) -> redis::RedisResult<redis::Value> {
        let mut connection = connect(&self.client).await?;
        redis::cmd("SENTINEL").arg(what).arg("hub").query_async(&mut connection).await
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// Leads a proxy to the server that has the name, as DNS that Sentinel updates does.
pub(crate) struct Name(AbortHandle);

impl Name {
    pub(crate) fn follow(sentinel: Arc<Sentinel>, proxies: Vec<Proxy>, mut current: u16) -> Self {
        let following = tokio::spawn(async move {
            loop {
                if let Some(port) = sentinel.primary().await.filter(|port| *port != current) {
                    current = port;
                    proxies.iter().for_each(|proxy| proxy.switch_to(port));
                }
                sleep(Duration::from_millis(20)).await;
            }
        });
        Self(following.abort_handle())
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        self.0.abort();
    }
}
