//! Tables' names and definitions, and files that can't be opened.

use crate::*;

#[tokio::test(flavor = "multi_thread")]
async fn name_that_is_no_plain_identifier_is_refused() {
    let file = File::new();
    for name in ["", "a b", "a\"b", "a;b", "é", "sqlite_a", "SQLITE_A", "news.a"] {
        let error = refusal(file.sqlite().broker(name)).await;
        assert!(error.to_string().contains("ASCII letters"), "{name}: {error}");
    }
    for name in ["7", "_", "Select", "table"] {
        let mut process = Process::connect(file.sqlite().broker(name)).await;
        process.publish([1]).await;
        process.reads([1]).await;
    }
    // The name of another table's trigger is a valid name for a table.
    drop(Process::connect(file.sqlite().broker("7_id")).await);
    // Names aren't case-sensitive, so this is the same table as `select`.
    let mut upper = Process::connect(file.sqlite().broker("SELECT")).await;
    Process::connect(file.sqlite().broker("select")).await.publish([2]).await;
    upper.reads([2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn table_of_another_shape_is_refused_and_left_as_it_is() {
    let file = File::new();
    let schema = "select group_concat(sql) || (select count(*) from news) from sqlite_schema";
    let schema = schema.replace("news", &file.table);
    let read = || file.sql().query_row(&schema, [], |row| row.get::<_, String>(0)).unwrap();
    let connect = async || {
        let before = read();
        let error = refusal(file.broker()).await;
        assert_eq!(error.kind(), ErrorKind::WrongSchema, "{error}");
        assert_eq!(read(), before);
    };
    file.run("create table news (id integer primary key, topic, data); insert into news values (1, 2, 3)");
    connect().await;
    file.run("drop table news; create view news as select 1");
    connect().await;
    file.run("drop view news");
    drop(Process::connect(file.broker()).await);
    // Another version of the crate might create such a table.
    file.run("alter table news add column other text");
    connect().await;
}

/// Without its own trigger, the new table would accept rows below the newest.
#[tokio::test(flavor = "multi_thread")]
async fn trigger_of_a_renamed_table_is_refused() {
    let file = File::new();
    drop(Process::connect(file.broker()).await);
    file.run("alter table news rename to renamed");
    assert_eq!(refusal(file.broker()).await.kind(), ErrorKind::WrongSchema);
    file.run("drop trigger news_id");
    Process::connect(file.broker()).await.publish([1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_create_the_file_together_share_it() {
    for _ in 0..5 {
        let file = File::new();
        let connect = || tokio::spawn(Process::connect(file.broker()));
        let connecting: Vec<_> = (0..8).map(|_| connect()).collect();
        let mut processes = Vec::new();
        for process in connecting {
            processes.push(process.await.unwrap());
        }
        processes[0].publish([1]).await;
        for process in &mut processes {
            process.reads([1]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn table_lives_in_the_database_of_the_program() {
    let file = File::new();
    file.run("create table orders (id integer primary key); insert into orders values (1)");
    let start = Process::connect(file.broker()).await.publish([1]).await.unwrap().id();
    // The first hub is dropped, and the program starts again.
    file.run("insert into orders values (2); insert into news (topic, data) values ('a', '2')");
    let process = Process::connect(file.broker()).await;
    process.publish([3]).await;
    let mut client = Client::resume(&process.hub, &["a"], Some(start.into()));
    assert_eq!(client.data(2).await, ["2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn program_publishes_before_the_first_hub_after_a_migration() {
    let (file, other) = (File::new(), File::new());
    let migration = tower_sse_sqlite::SCHEMA;
    file.run(&migration.replace('\n', "\r\n"));
    file.run("insert into news (topic, data) values ('a', '1')");
    let process = Process::connect(file.broker()).await;
    let mut client = Client::recent(&process.hub, &["a"], 1);
    process.publish([2]).await;
    // A program that starts later runs the migration again.
    file.run(migration);
    file.run("insert into news (topic, data) values ('a', '3')");
    assert_eq!(client.data(3).await, ["1", "2", "3"]);
    let _other = Process::connect(other.sqlite().broker(&file.table)).await;
    let schema = "select group_concat(sql, ';') from sqlite_schema";
    let [migrated, created] = [&file, &other]
        .map(|file| file.sql().query_row(schema, [], |row| row.get::<_, String>(0)).unwrap());
    assert_eq!(migrated.replace('\r', ""), created);
}

#[tokio::test(flavor = "multi_thread")]
async fn file_that_cannot_be_opened_is_refused() {
    assert!(Sqlite::open("").is_err());
    let missing = Sqlite::open("/no-such-directory/events.db").unwrap();
    assert_eq!(refusal(missing.broker("news")).await.kind(), ErrorKind::NotPermitted);
    let file = File::new();
    fs::write(&file.path, [7; 5000]).unwrap();
    assert_eq!(refusal(file.broker()).await.kind(), ErrorKind::Corrupted);
    let short = file.broker().max_age(Duration::from_secs(1));
    assert!(refusal(short).await.to_string().contains("`max_age`"));
}
