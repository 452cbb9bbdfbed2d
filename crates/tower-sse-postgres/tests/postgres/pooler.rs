//! Hubs behind PgBouncer in transaction mode: a connection's statements can run in any of the
//! server's sessions, and notifications do not arrive.

use nix::unistd::geteuid;

use super::kit::Stream;
use super::losses::PROMOTE;
use super::server::{NOBODY, own};
use crate::*;

/// A pooler in front of a server. Dropping this value stops the pooler.
struct Pooler {
    _process: tokio::process::Child,
    port: u16,
    _directory: Directory,
}

impl Pooler {
    async fn start(server: &Server) -> Option<Self> {
        let program = find(&["pgbouncer"])?;
        let directory = Directory::new("pooler");
        own(directory.path());
        let port = free_port();
        let settings = format!(
            "[databases]\npostgres = user=postgres host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
             default_pool_size = 3\nmax_client_conn = 200\n",
            server.port
        );
        let file = directory.path().join("pgbouncer.ini");
        fs::write(&file, settings).unwrap();
        let mut command = tokio::process::Command::new(program);
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.arg("-q").arg(file).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let process = command.spawn().unwrap();
        let pooler = Self { _process: process, port, _directory: directory };
        until_async(async || connect(&pooler.address()).await.is_ok()).await;
        Some(pooler)
    }

    fn address(&self) -> String {
        format!("host=127.0.0.1 port={} user=postgres dbname=postgres", self.port)
    }
}

#[tokio::test]
async fn hubs_work_behind_a_pooler() {
    let Some(server) = Server::start().await else { return };
    let Some(pooler) = Pooler::start(&server).await else { return };
    let broker = || broker_at(&pooler.address());
    let mut processes = Vec::new();
    // Together, these open more connections than the pooler has to the server.
    for _ in 0..4 {
        processes.push(Process::connect(broker()).await);
    }
    assert!(processes.iter().all(|process| !process.stats.listens()));
    processes[0].publish(0..10).await;
    let client = connect(&pooler.address()).await.unwrap();
    sql(&client, "select tower_sse.publish('a', '10', 'tower_sse')").await;
    for process in &mut processes {
        process.reads(0..=10).await;
        assert_eq!(process.health.reconnections(), 0);
    }
}

/// The pooler keeps the connections of its clients when it changes its server.
#[tokio::test]
async fn failover_behind_a_pooler_is_a_gap() {
    let Some(server) = Server::start().await else { return };
    let Some(pooler) = Pooler::start(&server).await else { return };
    let broker = broker_at(&pooler.address()).listen(false);
    let mut process = Process::connect(broker).await;
    process.delivers([1]).await;
    sql(&server.connect().await, PROMOTE).await;
    process.reads_gap().await;
    process.delivers([2]).await;
    assert_eq!(process.stats.losses(), 1);
}

/// Run by `.ci/slow postgres-pooler`.
#[tokio::test]
#[ignore = "takes a minute"]
async fn kit_passes_behind_a_pooler() {
    let Some(server) = Server::start().await else { return };
    let Some(pooler) = Pooler::start(&server).await else { return };
    let proxy = Proxy::start(pooler.port).await;
    check(async || Stream::new(&server, &proxy)).await;
}
