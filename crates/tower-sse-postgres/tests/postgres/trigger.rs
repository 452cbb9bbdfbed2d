//! A table that exists is the source of events, by the triggers of the crate's page.

use crate::{docs::block, *};

const PAGE: &str = include_str!("../../src/lib.rs");
const TABLE: &str = "create table orders (id bigint primary key, status text)";

#[tokio::test]
async fn trigger_publishes_changes_of_a_table() {
    let Some(server) = Server::start().await else { return };
    let client = server.connect().await;
    sql(&client, TABLE).await;
    sql(&client, &block(PAGE, "sql,row")).await;
    let broker = server.broker().stream("orders");
    let process = Process::connect(broker).await;
    let mut reader = Client::connect(&process.hub, &["orders:42"]);
    sql(&client, "insert into orders values (42, 'new')").await;
    sql(&client, "begin; update orders set status = 'lost'; rollback").await;
    sql(&client, "update orders set status = 'paid'").await;
    let data = reader.data(2).await;
    assert_eq!(data, [r#"{"id":42,"status":"new"}"#, r#"{"id":42,"status":"paid"}"#]);
    // What cannot be an event aborts the transaction of the program.
    let too_long = "update orders set status = repeat('x', 1048576)";
    let error = client.simple_query(too_long).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::CHECK_VIOLATION));
    assert_eq!(sql(&client, "select status from orders").await, ["paid"]);
}

#[tokio::test]
async fn trigger_that_sends_the_key_aborts_no_transaction() {
    let Some(server) = Server::start().await else { return };
    let client = server.connect().await;
    sql(&client, TABLE).await;
    sql(&client, &block(PAGE, "sql,key")).await;
    let process = Process::connect(server.broker().stream("orders")).await;
    let mut reader = Client::connect(&process.hub, &["orders"]);
    sql(&client, "insert into orders values (42, repeat('x', 1048576))").await;
    assert_eq!(reader.data(1).await, ["42"]);
}
