//! What programs and hubs may publish, which names streams and schemas may have, and triggers.

use crate::*;

/// Runs a statement that must fail. Returns the error's code.
async fn failure(client: &tokio_postgres::Client, statement: &str) -> SqlState {
    let error = client.batch_execute(statement).await.expect_err(statement);
    error.code().unwrap_or_else(|| panic!("{statement}: {error:?}")).clone()
}

#[tokio::test]
async fn bad_input_is_an_error_of_its_statement() {
    let Some(server) = Server::start().await else { return };
    let client = server.connect().await;
    let mut process = Process::connect(server.broker()).await;
    let publish = |arguments: &str| format!("select tower_sse.publish({arguments})");
    for (statement, code) in [
        (publish("'a', repeat('x', 1048577), 'tower_sse'"), SqlState::CHECK_VIOLATION),
        (publish("repeat('x', 1025), '', 'tower_sse'"), SqlState::CHECK_VIOLATION),
        (publish("'a', '', 'tower_sse', repeat('x', 257)"), SqlState::CHECK_VIOLATION),
        (publish("'a', '', 'tower_sse', E'x\\ny'"), SqlState::CHECK_VIOLATION),
        (publish("'a', '', 'tower_sse', E'x\\r'"), SqlState::CHECK_VIOLATION),
        (publish("'a', '', 'tower_sse', comment => repeat('x', 4097)"), SqlState::CHECK_VIOLATION),
        (publish("'a', '', 'tower_sse', retry => -1"), SqlState::CHECK_VIOLATION),
        (publish("'a', '', stream => 'other'"), SqlState::FOREIGN_KEY_VIOLATION),
        (publish("'a', '', null"), SqlState::NOT_NULL_VIOLATION),
        (publish("'a', ''"), SqlState::UNDEFINED_FUNCTION),
        (publish("null, '', 'tower_sse'"), SqlState::NOT_NULL_VIOLATION),
        (publish("'a', null, 'tower_sse'"), SqlState::NOT_NULL_VIOLATION),
        (publish("'a', U&'\\0000', 'tower_sse'"), SqlState::SYNTAX_ERROR),
    ] {
        assert_eq!(failure(&client, &statement).await, code, "{statement}");
    }
    for arguments in [
        "'a', repeat('x', 1048576), 'tower_sse'",
        "repeat('x', 1024), '', 'tower_sse'",
        "'', '', 'tower_sse', repeat('x', 256), comment => repeat('x', 4096), retry => 0",
        "'a', E'1\\r\\n2\\n', 'tower_sse', '', comment => E'\\n'",
    ] {
        sql(&client, &publish(arguments)).await;
    }
    let [large, lines] = process.client.data(2).await.try_into().unwrap();
    assert_eq!((large.len(), &*lines), (1 << 20, "1\n2\n"));
}

#[tokio::test]
async fn bad_input_of_a_hub_refuses_one_event() {
    let Some((_server, mut process)) = Process::start().await else { return };
    let long = |length: usize| "x".repeat(length);
    let event = Event::new;
    let refused = [
        ("a", event().data("\0"), "data contains U+0000 at byte 0"),
        ("a\0", event().data(""), "topic contains U+0000 at byte 1"),
        ("a", event().data("").comment("ab\0"), "comment contains U+0000 at byte 2"),
        ("a", event().data(long((1 << 20) + 1)), "data has 1048577 bytes, more than 1048576"),
        ("a", event().data("").comment(long(4097)), "comment has 4097 bytes, more than 4096"),
        (
            "a",
            event().data("").try_event(long(257)).unwrap(),
            "event name has 257 bytes, more than 256",
        ),
        (&*long(1025), event().data(""), "topic has 1025 bytes, more than 1024"),
        (
            "a",
            event().data("").retry(Duration::MAX),
            "retry is 18446744073709551615 ms, more than 9223372036854775807",
        ),
    ];
    let mut publishing = Vec::new();
    for number in 0..20 {
        let hub = process.hub.clone();
        publishing.push(tokio::spawn(async move {
            hub.publish("a", number.to_string()).await.unwrap();
        }));
    }
    for (topic, event, reason) in refused {
        let error = process.hub.publish(topic, event).await.unwrap_err();
        match error {
            PublishError::Invalid(_) => assert!(reason.contains("U+0000"), "{error}"),
            _ => assert!(matches!(error, PublishError::TooLarge(_)), "{error:?}"),
        }
        assert!(error.to_string().ends_with(&format!(": {reason}")), "{error}");
    }
    for publishing in publishing {
        publishing.await.unwrap();
    }
    process.client.data(20).await;
}

#[tokio::test]
async fn names_are_not_a_part_of_statements() {
    let Some(server) = Server::start_empty(&[]).await else { return };
    let client = server.connect().await;
    // A keyword of SQL, which works as a name only in quotes.
    let schema = "select";
    let stream = "'; delete from log; --\n\"x\" $1 \\";
    sql(&client, &schema_named(schema).unwrap()).await;
    let postgres = Postgres::open(&server.address()).unwrap().schema(schema).unwrap();
    let broker = || patient(postgres.broker(stream));
    let first = Process::connect(broker()).await;
    let mut second = Process::connect(broker()).await;
    assert!(first.stats.listens());
    let topic = "a'; -- \\ \" $2 {}";
    let mut reader = Client::connect(&second.hub, &[topic]);
    publish(&first.hub, topic, "by a hub").await;
    let call = "select \"select\".publish($1, $2, stream => $3)";
    client.execute(call, &[&topic, &"by SQL", &stream]).await.unwrap();
    assert_eq!(reader.data(2).await, ["by a hub", "by SQL"]);
    first.publish([1]).await;
    second.reads([1]).await;
}

/// The server's indexes accept a value above 2,704 bytes only if it can be compressed.
#[tokio::test]
async fn long_name_of_a_stream_is_an_error_that_names_the_limit() {
    let Some(server) = Server::start().await else { return };
    let name: String = std::iter::repeat_with(fastrand::alphanumeric).take(3000).collect();
    let error = Hub::connect(server.broker_of(&name)).await.unwrap_err();
    let text = error.to_string();
    assert!(text.ends_with(": the stream's name has 3000 bytes, more than 1024"), "{text}");
    Process::connect(server.broker_of(&name[..1024])).await.delivers([1]).await;
}

/// Returns whether `Postgres::schema` and `schema_named` accept this name. Asserts that they agree,
/// and that the statements quote the name everywhere.
fn is_accepted(name: &str) -> bool {
    let opened = Postgres::open("host=127.0.0.1").unwrap().schema(name);
    let Ok(statements) = schema_named(name) else {
        assert!(opened.is_err(), "{name:?}");
        return false;
    };
    assert!(opened.is_ok(), "{name:?}");
    let places = SCHEMA.matches("tower_sse.").count() + SCHEMA.matches("schema tower_sse").count();
    assert_eq!(statements.matches(&format!("\"{name}\"")).count(), places, "{name:?}");
    true
}

#[test]
fn schema_is_an_identifier_or_an_error() {
    let long = "x".repeat(64);
    for name in ["a", "_", "a1", "tower_sse", "tower_sse_2", "select", "schema", "log", &long[1..]]
    {
        assert!(is_accepted(name), "{name:?}");
    }
    // The test below tries all names that consist of up to three of 15 characters.
    for name in
        ["a$$b", "$body$", "a\tb", "a\nb", "it's", "a/*b", ":a", "a%s", "a\0", "\u{130}", "\u{661}"]
            .into_iter()
            .chain(["", "tower_sse.log", "schema tower_sse", &long])
    {
        assert!(!is_accepted(name), "{name:?}");
    }
    let error = schema_named("a$$b").unwrap_err().to_string();
    assert!(error.contains(": \"a$$b\" is not an identifier"), "{error}");
}

/// The server says which names need no quotes.
#[tokio::test]
async fn schema_of_few_characters_is_accepted_if_it_needs_no_quotes() {
    let Some(server) = Server::start_empty(&[]).await else { return };
    let client = server.connect().await;
    let characters =
        ["a", "z", "A", "0", "9", "_", "$", ".", "\"", "'", ";", "-", " ", "\\", "\u{e9}"];
    let mut names = vec![String::new()];
    for _ in 0..3 {
        let longer = |name: &String| characters.map(|character| format!("{name}{character}"));
        names = names.iter().flat_map(longer).collect();
        let plain = "select n from unnest($1::text[]) n where quote_ident(n) = n";
        let plain = client.query(plain, &[&names]).await.unwrap();
        let plain: Vec<String> = plain.iter().map(|row| row.get(0)).collect();
        let accepted: Vec<_> = names.iter().filter(|name| is_accepted(name)).cloned().collect();
        assert!(!plain.is_empty());
        assert_eq!(accepted, plain);
    }
}

// The tests below publish changes of a table by the triggers on the crate's page.

const PAGE: &str = include_str!("../../src/lib.rs");
const TABLE: &str = "create table orders (id bigint primary key, status text)";

#[tokio::test]
async fn trigger_publishes_changes_of_a_table() {
    let Some(server) = Server::start().await else { return };
    let client = server.connect().await;
    sql(&client, TABLE).await;
    sql(&client, &block(PAGE, "sql,row")).await;
    let broker = server.broker_of("orders");
    let process = Process::connect(broker).await;
    let mut reader = Client::connect(&process.hub, &["orders:42"]);
    sql(&client, "insert into orders values (42, 'new')").await;
    sql(&client, "begin; update orders set status = 'lost'; rollback").await;
    sql(&client, "update orders set status = 'paid'").await;
    let data = reader.data(2).await;
    assert_eq!(data, [r#"{"id":42,"status":"new"}"#, r#"{"id":42,"status":"paid"}"#]);
    // A row that can't be an event aborts the program's transaction.
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
    let process = Process::connect(server.broker_of("orders")).await;
    let mut reader = Client::connect(&process.hub, &["orders"]);
    sql(&client, "insert into orders values (42, repeat('x', 1048576))").await;
    assert_eq!(reader.data(1).await, ["42"]);
}

const OPERATING: &str = include_str!("../../docs/operating.md");

pub(crate) fn statements_of(name: &str) -> String {
    block(OPERATING, &format!("sql,{name}"))
}

/// Returns a page's code block, the first whose opening fence is followed by the text `fence`.
pub(crate) fn block(page: &str, fence: &str) -> String {
    let text = |line| str::strip_prefix(line, "//! ").or(str::strip_prefix(line, "//!"));
    let mut lines = page.lines().map(|line| text(line).unwrap_or(line));
    assert!(lines.any(|line| line.strip_prefix("```") == Some(fence)), "no block {fence}");
    let mut block = String::new();
    for line in lines.take_while(|line| *line != "```") {
        writeln!(block, "{line}").unwrap();
    }
    block
}
