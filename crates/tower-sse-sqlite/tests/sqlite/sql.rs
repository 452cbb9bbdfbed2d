//! Publishing by SQL: transactions, columns, limits and triggers.

use crate::*;

#[tokio::test(flavor = "multi_thread")]
async fn event_in_a_transaction_arrives_when_it_commits() {
    let (file, mut process) = start().await;
    let program = file.sql();
    let insert = |data: &str| {
        let insert = format!("insert into {} (topic, data) values ('a', ?)", file.table);
        program.execute(&insert, [data]).unwrap();
    };
    program.execute_batch("create table orders (id integer primary key); begin").unwrap();
    insert("1");
    program.execute_batch("insert into orders values (1); savepoint s").unwrap();
    insert("rolled back");
    program.execute_batch("rollback to s").unwrap();
    insert("2");
    // The hub's connection can't write until the transaction ends.
    let hub = process.hub.clone();
    let publishing = tokio::spawn(async move { hub.publish("a", "3").await.unwrap() });
    sleep(Duration::from_millis(50)).await;
    program.execute_batch("commit; begin").unwrap();
    insert("rolled back");
    program.execute_batch("rollback").unwrap();
    publishing.await.unwrap();
    insert("4");
    process.reads(1..=4).await;
    assert_eq!(process.hub.stats().gaps, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_arrives_and_the_last_event_ends_its_topic() {
    let (file, process) = start().await;
    file.run(
        "insert into news (topic, data, event, retry, comment, ends)
        values ('a', 'one' || char(10) || 'two', 'paid', 1500, 'from SQL', 1)",
    );
    let mut client = process.client;
    let message = client.next().await;
    assert_eq!((&*message.event, &*message.data), ("paid", "one\ntwo"));
    assert_eq!(client.try_next().await, None);
    let blob = file.try_run("insert into news (topic, data) values ('b', x'00')").unwrap_err();
    assert!(blob.to_string().contains("cannot store BLOB value"), "{blob}");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_beyond_a_limit_is_refused_with_the_name_of_the_limit() {
    let (file, mut process) = start().await;
    for (column, value, limit) in [
        (0, "printf('%1025s', '')", "topic has at most 1 KiB"),
        (1, "printf('%1048577s', '')", "data has at most 1 MiB"),
        (1, "null", "NOT NULL constraint failed"),
        (2, "printf('%257s', '')", "event has at most 256 bytes"),
        (2, "'b' || char(10)", "event has no line break"),
        (2, "char(0) || 'b'", "event has no line break"),
        (3, "-1", "retry is from 0"),
        (4, "printf('%4097s', '')", "comment has at most 4 KiB"),
        (5, "3", "ends is 0, 1 or 2"),
        (6, "9223372036854775807", "id is from 1 to 2^62"),
        (6, "-5", "id is from 1 to 2^62"),
    ] {
        let mut values = ["'a'", "'x'", "null", "null", "null", "0", "null"];
        values[column] = value;
        let columns = "topic, data, event, retry, comment, ends, id";
        let insert = format!("insert into news ({columns}) values ({})", values.join(", "));
        let error = file.try_run(&insert).unwrap_err();
        assert!(error.to_string().contains(limit), "{error}");
    }
    process.publish([1]).await;
    process.reads([1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn event_beyond_a_limit_is_refused_alone() {
    let file = File::new();
    let hub = Process::connect(file.broker()).await.hub;
    let long = |bytes: usize| "é".repeat(bytes / 2) + "x";
    let event = || Event::new().data("x");
    let is_large = ErrorKind::TooLarge;
    for (topic, event, limit, kind) in [
        (long(1024), event(), "topic has at most 1 KiB", is_large),
        ("a".into(), Event::new().data(long(1 << 20)), "data has 1048577 bytes", is_large),
        (
            "a".into(),
            event().try_event(long(256)).unwrap(),
            "event has at most 256 bytes",
            is_large,
        ),
        ("a".into(), event().comment(long(4096)), "comment has at most 4 KiB", is_large),
        ("a".into(), event().retry(Duration::MAX), "retry is from 0", ErrorKind::Other),
    ] {
        let (refusal, other) = tokio::join!(hub.publish(&*topic, event), hub.publish("b", "x"));
        let error = refusal.unwrap_err();
        assert!(error.to_string().contains(limit), "{error}");
        assert_eq!(matches!(error, PublishError::TooLarge(_)), kind == is_large, "{error:?}");
        other.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn id_below_the_newest_is_refused() {
    let (file, mut process) = start().await;
    process.publish([1]).await;
    let error =
        file.try_run("insert into news (id, topic, data) values (7, 'a', 'x')").unwrap_err();
    assert!(error.to_string().contains("id is below the newest"), "{error}");
    file.run("insert into news (id, topic, data) select max(id) + 9, 'a', '2' from news");
    process.publish([3]).await;
    process.reads(1..=3).await;
}

/// Depending on the trigger, SQLite leaves the row out, undoes it or keeps it, and has counted what
/// the trigger wrote first.
#[tokio::test(flavor = "multi_thread")]
async fn event_that_a_trigger_refuses_is_not_published() {
    for (when, refuse) in [
        ("before", "ignore"),
        ("before", "abort, 'no'"),
        ("after", "abort, 'no'"),
        ("after", "fail, 'no'"),
    ] {
        for write in ["", "insert into audit values (new.data);"] {
            let (file, mut process) = start().await;
            file.run(&format!(
                "create table audit (data);
                create trigger refuse {when} insert on news when new.data = 'no' begin
                    {write} select raise({refuse}); end;"
            ));
            let hub = process.hub.clone();
            let (refusal, other) = tokio::join!(hub.publish("a", "no"), hub.publish("a", "1"));
            assert_eq!(refused(refusal).kind(), ErrorKind::Other);
            other.unwrap();
            process.publish([2]).await;
            process.reads([1, 2]).await;
        }
    }
}

/// The trigger writes a row for each event, before SQLite checks the event's limits.
#[tokio::test(flavor = "multi_thread")]
async fn event_beyond_a_limit_is_refused_alone_beside_a_trigger() {
    let (file, mut process) = start().await;
    file.run(
        "create table audit (data);
        create trigger audit before insert on news begin
            insert into audit values (new.data); end;",
    );
    let hub = process.hub.clone();
    let topic = "x".repeat(1025);
    let (refusal, other) = tokio::join!(hub.publish(&*topic, "no"), hub.publish("a", "1"));
    assert!(matches!(refusal, Err(PublishError::TooLarge(_))), "{refusal:?}");
    other.unwrap();
    process.reads([1]).await;
    let audit = "select group_concat(data) from audit";
    let audit = file.sql().query_row(audit, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(audit, "1");
}

/// Each trigger fails for its first data with another code of SQLite.
#[tokio::test(flavor = "multi_thread")]
async fn event_for_which_a_trigger_fails_is_refused_alone() {
    for (data, column, value) in [
        ("not json", "id", "json_extract(new.data, '$')"),
        ("-9223372036854775808", "id", "abs(cast(new.data as integer))"),
        ("no integer", "id integer primary key", "new.data"),
        ("2000000000", "id", "zeroblob(new.data)"),
    ] {
        let (file, mut process) = start().await;
        file.run(&format!(
            "create table audit ({column});
            create trigger audit after insert on news begin
                insert into audit values ({value}); end;"
        ));
        let hub = process.hub.clone();
        let publish = |data| hub.publish("a", data);
        // While the first event is sent, the other two wait for the next batch.
        let (first, refusal, last) = tokio::join!(publish("1"), publish(data), publish("2"));
        assert!(!matches!(refusal, Ok(_) | Err(PublishError::Unknown(_))), "{refusal:?}");
        first.and(last).unwrap();
        process.reads([1, 2]).await;
        let audit = "select count(*) from audit";
        assert_eq!(file.sql().query_row(audit, [], |row| row.get(0)), Ok(2));
    }
}

/// A program has switched off the table's constraints.
#[tokio::test(flavor = "multi_thread")]
async fn rows_beyond_the_limits_stop_no_later_event() {
    let (file, mut process) = start().await;
    file.run(
        "pragma ignore_check_constraints = 1;
        insert into news (topic, data, ends) values
            ('b', printf('%5000000s', ''), 0), ('b', printf('%5000000s', ''), 3000000000)",
    );
    process.publish([1]).await;
    process.reads([1]).await;
    let mut new = Process::connect(file.broker()).await;
    process.publish([2]).await;
    process.reads([2]).await;
    new.reads([2]).await;
    assert_eq!(process.health.reconnections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_of_the_page_publish() {
    let (file, process) = start().await;
    let mut client = Client::connect(&process.hub, &["orders:42"]);
    file.run(
        "create table orders (id integer primary key, status); insert into orders (id) values (42)",
    );
    let page = include_str!("../../src/lib.rs").replace("//! ", "");
    for statements in page.split("```sql\n").skip(1) {
        file.run(statements.split("```").next().unwrap());
    }
    file.run("update orders set status = 'shipped'");
    assert_eq!(client.data(2).await, ["paid", "shipped"]);
}

/// SQLite's shell and node:sqlite don't wait for another program's transaction by default.
#[tokio::test(flavor = "multi_thread")]
async fn insert_waits_with_the_pragma_of_the_page() {
    let (file, process) = start().await;
    let mut client = Client::connect(&process.hub, &["a"]);
    let insert = format!("insert into {} (topic, data) values ('a', '1')", file.table);
    let (writer, other) = (file.sql(), Connection::open(&file.path).unwrap());
    writer.execute_batch("begin immediate").unwrap();
    other.busy_timeout(Duration::ZERO).unwrap();
    let refused = other.execute_batch(&insert).unwrap_err();
    assert_eq!(refused.to_string(), "database is locked");

    let page = include_str!("../../src/lib.rs");
    let (_, pragma) = page.split_once("Run `pragma").expect("a pragma");
    other.execute_batch(&format!("pragma {}", pragma.split_once('`').unwrap().0)).unwrap();
    let inserted = spawn_blocking(move || other.execute_batch(&insert));
    writer.execute_batch("commit").unwrap();
    inserted.await.unwrap().unwrap();
    assert_eq!(client.data(1).await, ["1"]);
}

/// An event whose text isn't UTF-8 is lost, but later events aren't.
#[tokio::test(flavor = "multi_thread")]
async fn text_that_is_not_utf_8_becomes_a_gap() {
    let (file, mut process) = start().await;
    file.run("insert into news (topic, data) values ('a', cast(x'ff' as text)), ('a', '1')");
    process.reads_after_a_gap([1]).await;
}
