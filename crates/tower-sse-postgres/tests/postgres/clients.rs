//! The documented programs with client libraries of other languages.

use super::relay::Relay;
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

/// Passes bytes on, but breaks the first connection that commits once the server has replied.
async fn lose_a_reply(client: TcpStream, server: TcpStream, is_lost: Arc<AtomicBool>) {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let commits = AtomicBool::new(false);
    let up = async {
        let mut chunk = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = from_client.read(&mut chunk).await {
            let is_commit = chunk[..length].windows(6).any(|it| it.eq_ignore_ascii_case(b"commit"));
            commits.fetch_or(is_commit && !is_lost.swap(is_commit, SeqCst), SeqCst);
            if to_server.write_all(&chunk[..length]).await.is_err() {
                return;
            }
        }
    };
    let down = async {
        let mut chunk = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = from_server.read(&mut chunk).await {
            if commits.load(SeqCst) || to_client.write_all(&chunk[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

#[tokio::test]
async fn repeated_transaction_publishes_again_unless_it_looks_first() {
    let Some(server) = Server::start().await else { return };
    let direct = server.connect().await;
    sql(&direct, "create table orders (id bigint, status text)").await;
    let process = Process::connect(server.broker_of("orders")).await;
    for (id, looks, events) in [(1, false, ["paid", "paid"]), (2, true, ["paid", "shipped"])] {
        sql(&direct, &format!("insert into orders values ({id})")).await;
        let mut reader = Client::connect(&process.hub, &[&format!("orders:{id}")]);
        let is_lost = Arc::new(AtomicBool::new(false));
        let pass = move |client, server| lose_a_reply(client, server, Arc::clone(&is_lost));
        let relay = Relay::start(server.port, pass).await;
        let address =
            format!("host=127.0.0.1 port={} user=postgres dbname=postgres", relay.address.port());
        let publish = "select tower_sse.publish($1, $2, stream => 'orders', wake => true)";
        let pay = async || {
            let mut client = connect(&address).await?;
            let transaction = client.transaction().await?;
            let update = "update orders set status = 'paid' where id = $1";
            transaction.execute(update, &[&i64::from(id)]).await?;
            transaction.execute(publish, &[&format!("orders:{id}"), &"paid"]).await?;
            transaction.commit().await
        };
        assert!(pay().await.is_err(), "the reply to the commit is lost");
        let is_paid = format!("select 1 from orders where id = {id} and status = 'paid'");
        until_async(async || !sql(&direct, &is_paid).await.is_empty()).await;
        if !looks {
            pay().await.unwrap();
        }
        direct.execute(publish, &[&format!("orders:{id}"), &"shipped"]).await.unwrap();
        assert_eq!(reader.data(2).await, events);
    }
}
