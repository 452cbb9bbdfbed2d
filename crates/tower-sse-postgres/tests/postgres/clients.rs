//! The documented programs with client libraries of other languages.

use crate::*;

const PAGE: &str = include_str!("../../docs/clients.md");

/// Runs a program that marks an order as paid. Checks that a client receives the program's event
/// and that the order's row has changed.
async fn pays(mut command: Command) {
    let Some(server) = Server::start().await else { return };
    let client = server.connect().await;
    sql(&client, "create table orders (id bigint, status text); insert into orders values (42)")
        .await;
    let process = Process::connect(server.broker_of("orders")).await;
    let mut reader = Client::connect(&process.hub, &["orders:42"]);
    command.env("PGHOST", "127.0.0.1").env("PGPORT", server.port.to_string());
    command.env("PGUSER", "postgres").env("PGDATABASE", "postgres");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(reader.data(1).await, ["paid"]);
    assert_eq!(sql(&client, "select status from orders").await, ["paid"]);
}

#[tokio::test]
async fn psycopg_publishes() {
    let Some(python) = find(&["python3"]) else { return };
    if installed("python/psycopg").is_none() {
        return;
    }
    let mut command = Command::new(python);
    command.args(["-c", &block(PAGE, "python")]).env("PYTHONPATH", target("python"));
    pays(command).await;
}

#[tokio::test]
async fn node_postgres_publishes() {
    let Some(node) = find(&["node"]) else { return };
    if package("pg").is_none() {
        return;
    }
    let mut command = Command::new(node);
    command.args(["-e", &block(PAGE, "js")]).env("NODE_PATH", target("npm/node_modules"));
    pays(command).await;
}
