//! The rights and credentials of roles, the schemas and servers that hubs refuse, and the
//! documented query for transactions that block hubs.

use super::input::statements_of;
use crate::*;

/// Starts a server with the roles `writer` and `hub`, and the stream `orders`.
async fn server_with_roles() -> Option<Server> {
    let server = Server::start().await?;
    let client = server.connect().await;
    sql(&client, "create role writer login; create role hub login").await;
    sql(&client, &statements_of("rights")).await;
    sql(&client, &statements_of("streams")).await;
    Some(server)
}

fn hub_of(server: &Server) -> PostgresBroker {
    patient(Postgres::open(&server.address_of("hub")).unwrap().broker("orders"))
}

#[tokio::test]
async fn two_roles_suffice() {
    let Some(server) = server_with_roles().await else { return };
    let mut process = Process::connect(hub_of(&server)).await;
    assert!(process.stats.listens());
    let writer = connect(&server.address_of("writer")).await.unwrap();
    sql(&writer, "select tower_sse.publish('a', '1', stream => 'orders')").await;
    sql(&writer, "select tower_sse.publish('a', '2', stream => 'orders', wake => true)").await;
    sql(&writer, "insert into tower_sse.inbox (stream, topic, data) values ('orders', 'a', '3')")
        .await;
    process.reads(1..=3).await;
    process.delivers([4]).await;
    // Once these statistics are known, the hub has tried to trim and has surveyed. No error means
    // that it may do both.
    until(|| process.stats.waiting().is_some() && process.stats.log().is_some()).await;
    assert!(process.health.last_error().is_none());
}

#[tokio::test]
async fn log_that_cannot_be_trimmed_is_measured() {
    let Some(server) = server_with_roles().await else { return };
    sql(&server.connect().await, "revoke delete on tower_sse.log from hub").await;
    let process = Process::connect(hub_of(&server)).await;
    until(|| process.stats.log().is_some_and(|log| log.bytes.is_some())).await;
    let error = process.health.last_error().unwrap().to_string();
    assert!(error.contains("permission denied"), "{error}");
}

/// The hub would exceed the limit if it opened new connections before it closed the old ones.
#[tokio::test]
async fn hub_reconnects_with_the_two_connections_that_it_needs() {
    let Some(server) = server_with_roles().await else { return };
    let client = server.connect().await;
    sql(&client, "alter role hub connection limit 2").await;
    let mut process = Process::connect(hub_of(&server)).await;
    process.publish([1]).await;
    let end = "select pg_terminate_backend(pid)::text from pg_stat_activity
        where usename = 'hub' and query ~ '\\.(append|trim|survey)\\('";
    until_async(async || !sql(&client, end).await.is_empty()).await;
    until(|| process.health.reconnections() == 1).await;
    process.publish([2]).await;
    process.reads([1, 2]).await;
}

#[tokio::test]
async fn writer_cannot_read_or_forge() {
    let Some(server) = server_with_roles().await else { return };
    let _process = Process::connect(hub_of(&server)).await;
    let writer = connect(&server.address_of("writer")).await.unwrap();
    let insert = |columns: &str, values: &str| {
        format!(
            "insert into tower_sse.inbox (stream, topic, data, {columns}) values ('orders', 'a', '', {values})"
        )
    };
    for statement in [
        insert("xid", "'3'"),
        insert("at", "now()"),
        "insert into tower_sse.inbox (stream, topic, data, id) overriding system value values ('orders', 'a', '', 1)".to_owned(),
        "select data from tower_sse.inbox".to_owned(),
        "delete from tower_sse.inbox".to_owned(),
        "update tower_sse.inbox set data = ''".to_owned(),
        "insert into tower_sse.inbox (stream, topic, data) values ('orders', 'a', '') returning id".to_owned(),
        "select data from tower_sse.log".to_owned(),
        "insert into tower_sse.log (stream, seq, at) values ('orders', 1, now())".to_owned(),
        "delete from tower_sse.log".to_owned(),
        "truncate tower_sse.log".to_owned(),
        "select cluster from tower_sse.stream".to_owned(),
        "insert into tower_sse.stream (name) values ('mine')".to_owned(),
        "select from tower_sse.stream for key share".to_owned(),
        "select * from tower_sse.read('orders', 0, 10, 10)".to_owned(),
        "select * from tower_sse.poll('orders', 0)".to_owned(),
        "select * from tower_sse.trim('orders', 0, 0, 1, 100)".to_owned(),
        "select * from tower_sse.append('orders', 0, 0, null, false, '{a}', '{a}', '{null}', '{null}', '{null}', '{f}', '{1}', true)".to_owned(),
    ] {
        let error = writer.simple_query(&statement).await.expect_err(&statement);
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}");
    }
    // The server may check the identity column before the permission: either error is fine.
    let error = writer.simple_query(&insert("id", "1")).await.unwrap_err();
    let refusals = [SqlState::INSUFFICIENT_PRIVILEGE, SqlState::GENERATED_ALWAYS];
    assert!(refusals.contains(error.code().unwrap()), "{error:?}");
}

/// In PostgreSQL 14, every role may create functions in `public`. The server prefers an operator or
/// function whose types match exactly, in any schema of the search path.
#[tokio::test]
async fn hub_runs_no_operator_of_a_writer() {
    let Some(server) = server_with_roles().await else { return };
    sql(&server.connect().await, "grant create on schema public to public").await;
    let writer = connect(&server.address_of("writer")).await.unwrap();
    sql(&writer, "create table runs (by_role text); grant insert on runs to public").await;
    let body = "language plpgsql as
        $$ begin insert into public.runs values (current_user); return null; end $$";
    for (operator, left, right, result) in
        [("*", "numeric", "integer", "numeric"), ("||", "bigint", "text", "text")]
    {
        let create = format!(
            "create function own({left}, {right}) returns {result} {body};
            create operator {operator} (leftarg = {left}, rightarg = {right}, function = own)"
        );
        sql(&writer, &create).await;
    }
    sql(&writer, &format!("create function format(text, text) returns text {body}")).await;
    sql(&writer, &format!("create function convert_to(text, text) returns bytea {body}")).await;
    let calls = "1::numeric * 1, format('%s'::text, 'x'::text), convert_to('x'::text, 'UTF8')";
    sql(&writer, &format!("select 1::bigint || 'x', {calls}")).await;
    let runs = "select by_role from runs";
    assert_eq!(sql(&writer, runs).await, ["writer"; 4]);
    // A program that publishes from SQL and has a hub has both roles.
    sql(&server.connect().await, "grant writer to hub").await;
    let connected = Hub::connect(hub_of(&server)).await;
    let hub = connect(&server.address_of("hub")).await.unwrap();
    let publish = "select tower_sse.publish('a', '1', stream => 'other')";
    let error = hub.batch_execute(publish).await.unwrap_err();
    let message = error.as_db_error().unwrap().message();
    assert_eq!(message, "stream \"other\" does not exist");
    assert_eq!(sql(&writer, runs).await, ["writer"; 4]);
    connected.unwrap().publish("a", "1").await.unwrap();
    assert_eq!(sql(&writer, runs).await, ["writer"; 4]);
}

/// If the only policy is for writers, the hub sees no rows, and the server reports no error.
#[tokio::test]
async fn row_security_on_a_table_is_refused() {
    let Some(server) = server_with_roles().await else { return };
    let client = server.connect().await;
    for table in ["inbox", "log", "stream"] {
        let secure = format!(
            "alter table tower_sse.{table} enable row level security;
            create policy writes on tower_sse.{table} for insert to writer with check (true)"
        );
        sql(&client, &secure).await;
        let error = Hub::connect(hub_of(&server)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotPermitted);
        let text = error.to_string();
        assert!(text.contains(&format!("row security hides rows of tower_sse.{table}")), "{text}");
        // With `bypassrls`, the role sees all rows.
        sql(&client, "alter role hub bypassrls").await;
        Process::connect(hub_of(&server)).await.delivers([1]).await;
        sql(&client, "alter role hub nobypassrls").await;
        sql(&client, &format!("alter table tower_sse.{table} disable row level security")).await;
    }
    Process::connect(hub_of(&server)).await.delivers([1]).await;
}

/// A connected hub notices row security only when it reconnects.
#[tokio::test]
async fn row_security_of_a_running_hub_is_told_when_it_reconnects() {
    let Some(server) = server_with_roles().await else { return };
    let process = Process::connect(hub_of(&server)).await;
    let client = server.connect().await;
    sql(&client, "alter table tower_sse.inbox enable row level security").await;
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'hub'";
    sql(&client, end).await;
    let is_told = |error: Error| error.to_string().contains("row security");
    until(|| process.health.last_error().is_some_and(is_told)).await;
    assert!(!process.health.is_ready());
    sql(&client, "alter table tower_sse.inbox disable row level security").await;
    until(|| process.health.is_ready()).await;
}

#[tokio::test]
async fn missing_right_or_schema_is_told_by_its_kind() {
    let Some(server) = Server::start_empty(&[]).await else { return };
    let client = server.connect().await;
    sql(&client, "create role hub login").await;
    let kind = async || Hub::connect(hub_of(&server)).await.unwrap_err().kind();
    let missing = Hub::connect(hub_of(&server)).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::WrongSchema);
    let text = missing.to_string();
    for part in ["`tower_sse_postgres::SCHEMA` is not", "schema \"tower_sse\" does not exist"] {
        assert!(text.contains(part), "{text}");
    }
    sql(&client, SCHEMA).await;
    assert_eq!(kind().await, ErrorKind::NotPermitted);
    sql(&client, "create role writer; alter role hub set default_transaction_read_only = on").await;
    sql(&client, &statements_of("rights")).await;
    assert_eq!(kind().await, ErrorKind::ReadOnly);
    sql(&client, "alter role hub reset all").await;
    sql(&client, "alter role hub set default_transaction_isolation = 'repeatable read'").await;
    let error = Hub::connect(hub_of(&server)).await.unwrap_err();
    assert!(error.to_string().contains("read committed"), "{error}");
    sql(&client, "alter role hub reset all").await;
    let version = "create or replace function tower_sse.version() returns int language sql as";
    sql(&client, &format!("{version} 'select 2'")).await;
    assert_eq!(kind().await, ErrorKind::WrongSchema);
    sql(&client, &format!("{version} 'select 1'")).await;
    let hub = Hub::connect(hub_of(&server)).await.unwrap();
    sql(&client, "revoke insert on tower_sse.log from hub").await;
    let error = hub.publish("a", "1").await.unwrap_err();
    let PublishError::Refused(reason) = error else { panic!("{error:?}") };
    let reason: &tower_sse_postgres::Error = reason.downcast_ref().unwrap();
    assert_eq!(reason.kind(), ErrorKind::NotPermitted);
}

#[tokio::test]
async fn processes_that_install_at_once_make_one_schema() {
    let Some(server) = Server::start_empty(&[]).await else { return };
    let client = server.connect().await;
    for schema in ["tower_sse", "billing_events"] {
        let postgres = Postgres::open(&server.address()).unwrap().schema(schema).unwrap();
        let mut installing = JoinSet::new();
        for _ in 0..8 {
            let postgres = postgres.clone();
            installing.spawn(async move { postgres.install().await.unwrap() });
        }
        installing.join_all().await;
        let mut process = Process::connect(patient(postgres.broker("orders"))).await;
        process.delivers([1]).await;
        postgres.install().await.unwrap();
        process.delivers([2]).await;
    }
    // `install` leaves another version as it is, and a hub refuses it.
    let version = "create or replace function tower_sse.version() returns int language sql as";
    sql(&client, &format!("{version} 'select 2'")).await;
    let postgres = Postgres::open(&server.address()).unwrap();
    postgres.install().await.unwrap();
    let error = Hub::connect(postgres.broker("orders")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongSchema);
    sql(&client, "create role hub login").await;
    let postgres = Postgres::open(&server.address_of("hub")).unwrap();
    let error = postgres.schema("mine").unwrap().install().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotPermitted);
}

/// The query of the page on operating.
#[tokio::test]
async fn query_names_transactions_and_which_of_them_blocks() {
    let Some((server, mut process)) = Process::start().await else { return };
    process.delivers([1]).await;
    let [open, locking, client] =
        [server.connect().await, server.connect().await, server.connect().await];
    sql(&open, "begin; create table other (id int)").await;
    sql(&locking, "begin; select from tower_sse.stream for update").await;
    let hub = process.hub.clone();
    let publishing = tokio::spawn(async move { hub.publish("a", "2").await });
    let blocks = statements_of("blocks");
    let found = async || {
        let rows = client.query(&*blocks, &[]).await.unwrap();
        let row = |row: &tokio_postgres::Row| {
            (row.get::<_, String>("state"), row.get("query"), row.get::<_, bool>("blocks"))
        };
        rows.iter().map(row).filter(|row| row.0 != "active").collect::<Vec<_>>()
    };
    let state = "idle in transaction".to_owned();
    let expected = [
        (state.clone(), "begin; create table other (id int)".to_owned(), false),
        (state, "begin; select from tower_sse.stream for update".to_owned(), true),
    ];
    until_async(async || found().await == expected).await;
    sql(&locking, "commit").await;
    publishing.await.unwrap().unwrap();
    sql(&open, "prepare transaction 'forgotten'").await;
    until_async(async || found().await == [("prepared".to_owned(), "forgotten".to_owned(), false)])
        .await;
}

#[tokio::test]
async fn other_encodings_are_refused() {
    let Some(server) = Server::start_empty(&[]).await else { return };
    let client = server.connect().await;
    sql(&client, "create database latin template template0 encoding 'LATIN1' locale 'C'").await;
    let address = server.address().replace("dbname=postgres", "dbname=latin");
    sql(&connect(&address).await.unwrap(), SCHEMA).await;
    let error = Hub::connect(broker_at(&address)).await.unwrap_err();
    assert!(error.to_string().contains("the encoding LATIN1, not UTF8"), "{error}");
}

// The tests below are about credentials that change at run time.

/// Starts a server on which the roles `app` and `next` need a password.
async fn server_with_passwords() -> Option<Server> {
    let server = Server::start().await?;
    let access = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    fs::write(server.data().join("pg_hba.conf"), access).unwrap();
    let client = server.connect().await;
    sql(&client, "create role app login superuser password 'first'").await;
    sql(&client, "create role next login superuser password 'second'").await;
    sql(&client, "select pg_reload_conf()").await;
    let refused = async || server::connect(&server.address_of("app")).await.is_err();
    until_async(refused).await;
    Some(server)
}

#[tokio::test]
async fn new_credentials_are_asked_for_when_some_are_refused() {
    let Some(server) = server_with_passwords().await else { return };
    let address = server.address_of("app");
    for password in ["", " password=other"] {
        let refused = broker_at(&format!("{address}{password}"));
        let error = Hub::connect(refused).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotPermitted, "{error}");
    }
    let credentials = Arc::new(Mutex::new(Credentials::new("app", "first")));
    let asked = Arc::new(AtomicUsize::new(0));
    // The address names no user.
    let address = address.replace(" user=app", "");
    let postgres = Postgres::open(&address).unwrap().credentials({
        let (credentials, asked) = (Arc::clone(&credentials), Arc::clone(&asked));
        move || {
            asked.fetch_add(1, SeqCst);
            let credentials = credentials.lock().unwrap().clone();
            async move { Ok::<_, BoxError>(credentials) }
        }
    });
    let mut process = Process::connect(patient(postgres.broker("tower_sse"))).await;
    assert_eq!(asked.load(SeqCst), 1);
    let client = server.connect().await;
    sql(&client, "alter role app nologin").await;
    // Open connections stay usable.
    process.delivers([1]).await;
    sql(&client, "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
        .await;
    // If an attempt to connect is refused, it asks for the credentials twice.
    until(|| asked.load(SeqCst) >= 3).await;
    *credentials.lock().unwrap() = Credentials::new("next", "second");
    until(|| process.health.reconnections() == 1 && process.health.is_ready()).await;
    process.delivers([2]).await;
}

/// The other server of the list is down. The order of the servers is random.
#[tokio::test]
async fn list_of_servers_fails_with_its_most_telling_error() {
    let Some(server) = server_with_passwords().await else { return };
    // To a hub, the server is then a standby.
    let standby = "alter role app set default_transaction_read_only = on";
    sql(&server.connect().await, standby).await;
    let ports = format!("{},{}", free_port(), server.port);
    let address = format!("host=127.0.0.1,127.0.0.1 port={ports} dbname=postgres");
    let outcomes = [("old", ErrorKind::NotPermitted, 2), ("first", ErrorKind::Unreachable, 1)];
    for (password, kind, asks) in outcomes.repeat(8) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let postgres = Postgres::open(&address).unwrap().credentials(move || {
            counted.fetch_add(1, SeqCst);
            async move { Ok::<_, BoxError>(Credentials::new("app", password)) }
        });
        let error = Hub::connect(postgres.broker("tower_sse")).await.unwrap_err();
        assert_eq!((error.kind(), asked.load(SeqCst)), (kind, asks), "{error}");
    }
}

#[tokio::test]
async fn closure_that_fails_or_panics_is_an_error() {
    let Some(server) = server_with_passwords().await else { return };
    let postgres = || Postgres::open(&server.address_of("app")).unwrap();
    let failing = postgres().credentials(|| async { Err::<Credentials, _>("no token") });
    let error = Hub::connect(failing.broker("tower_sse")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotPermitted);
    assert_eq!(error.to_string(), "failed to get the credentials for PostgreSQL: no token");
    let panicking = postgres()
        .credentials(|| async { panic!("in the program") as Result<Credentials, BoxError> });
    let error = Hub::connect(panicking.broker("tower_sse")).await.unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
}
