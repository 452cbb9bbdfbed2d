//! The example against a PostgreSQL server that the test starts, and with a `kill -9` between the
//! update and its event.

#![cfg(unix)]
#![allow(dead_code)]

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::{sleep, timeout},
};

#[path = "../../../tests/support/patience.rs"]
mod patience;
#[path = "../../../tests/support/port.rs"]
mod port;
#[path = "../../../crates/tower-sse-postgres/tests/postgres/server.rs"]
mod server;
#[path = "../../../tests/support/tool.rs"]
mod tool;

use self::{
    patience::{PATIENCE, until_async},
    port::free_port,
    server::{Server, sql},
};

/// A process of the example. Dropping it kills it.
struct Orders {
    process: Child,
    port: u16,
}

impl Orders {
    async fn start(server: &Server) -> Self {
        let port = free_port();
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", server.port);
        let mut command = Command::new(env!("CARGO_BIN_EXE_orders"));
        command.env("DATABASE_URL", url).env("PORT", port.to_string()).stdout(Stdio::null());
        let orders = Self { process: command.spawn().unwrap(), port };
        until_async(async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        orders
    }

    async fn send(&self, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let request = format!("{head} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Returns the lines of an event stream that contain data.
    async fn events(&self) -> impl AsyncFnMut() -> String {
        let mut lines = BufReader::new(self.send("GET /events").await).lines();
        async move || loop {
            let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
            if let Some(data) = line.strip_prefix("data: ") {
                return data.to_owned();
            }
        }
    }

    async fn post(&self, path: &str) -> String {
        let mut answer = [0; 12];
        let mut stream = self.send(&format!("POST {path}")).await;
        timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
        String::from_utf8_lossy(&answer[9..]).into_owned()
    }
}

impl Drop for Orders {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

const STATUS: &str = "select status from orders where id = 3";

#[tokio::test]
async fn change_reaches_the_pages_of_all_processes() {
    let Some(server) = Server::start_empty(&[]).await else { return };
    let (first, second) = (Orders::start(&server).await, Orders::start(&server).await);
    let mut events = [first.events().await, second.events().await];
    // The answer of the event stream has begun before its first event.
    sleep(Duration::from_millis(300)).await;
    assert_eq!(first.post("/orders/3/paid").await, "204");
    assert_eq!(first.post("/orders/99/paid").await, "404");
    assert_eq!(second.post("/orders/3/shipped").await, "204");
    for events in &mut events {
        assert_eq!(events().await, r#"{"id":3,"status":"paid"}"#);
        assert_eq!(events().await, r#"{"id":3,"status":"shipped"}"#);
    }
    assert_eq!(sql(&server.connect().await, STATUS).await, ["shipped"]);
}

#[tokio::test]
async fn kill_between_update_and_event_leaves_neither() {
    let Some(server) = Server::start_empty(&[]).await else { return };
    let (killed, other) = (Orders::start(&server).await, Orders::start(&server).await);
    let mut events = other.events().await;
    sleep(Duration::from_millis(300)).await;
    let (client, watching) = (server.connect().await, server.connect().await);
    // The handler waits here, after its update.
    sql(&client, "begin; lock table tower_sse.inbox in access exclusive mode").await;
    let _answer = killed.send("POST /orders/3/paid").await;
    let waiting = "select count(*)::text from pg_stat_activity where wait_event_type = 'Lock'
        and query like '%tower_sse.publish%'";
    until_async(async || sql(&watching, waiting).await == ["1"]).await;
    drop(killed);
    sql(&client, "commit").await;
    until_async(async || {
        sql(
            &client,
            "select count(*)::text from pg_locks where mode = 'RowExclusiveLock'
        and relation = 'orders'::regclass",
        )
        .await
            == ["0"]
    })
    .await;
    assert_eq!(sql(&client, STATUS).await, ["new"]);
    assert_eq!(other.post("/orders/4/paid").await, "204");
    assert_eq!(events().await, r#"{"id":4,"status":"paid"}"#);
}
