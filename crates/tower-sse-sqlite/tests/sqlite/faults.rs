//! Files that can't be written or read for a while, and pragmas.

use tokio::process::Command;

use crate::*;

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_refuses_events_until_there_is_space() {
    let file = File::new();
    let mut process =
        Process::connect(file.sqlite().pragma("max_page_count", "60").broker(&file.table)).await;
    process.publish([1]).await;
    let mut published = 0;
    let error = loop {
        match process.hub.publish("b", "x".repeat(50_000)).await {
            Ok(_) => published += 1,
            outcome => break refused(outcome),
        }
    };
    assert_eq!((error.kind(), published > 1), (ErrorKind::OutOfResources, true), "{error}");
    assert!(process.health.is_ready());
    assert_eq!(process.health.last_error().unwrap().to_string(), error.to_string());
    file.run("delete from news where topic = 'b' and id < (select max(id) from news)");
    process.publish([2]).await;
    process.reads([1, 2]).await;
}

/// The pragma `query_only` stands for a file system that is mounted read-only.
#[tokio::test(flavor = "multi_thread")]
async fn read_only_file_refuses_events_and_new_hubs() {
    let (file, mut process) = start().await;
    process.publish([1]).await;
    let read_only = || file.sqlite().pragma("query_only", "1").broker(&file.table);
    assert_eq!(refusal(read_only()).await.kind(), ErrorKind::ReadOnly);
    process.reads([1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_pragma_is_an_error_and_the_journal_is_wal() {
    let file = File::new();
    let unknown = file.sqlite().pragma("durability", "full").broker(&file.table);
    let error = refusal(unknown).await;
    assert!(format!("{error:?}").contains("no pragma `durability`"), "{error:?}");
    let sqlite = file.sqlite().pragma("journal_mode", "delete").pragma("SYNCHRONOUS", "full");
    let _process = Process::connect(sqlite.broker(&file.table)).await;
    assert_eq!(pragma(&file, "journal_mode"), "wal");
}

fn pragma(file: &File, name: &str) -> String {
    let value = format!("select cast({name} as text) from pragma_{name}");
    file.sql().query_row(&value, [], |row| row.get(0)).unwrap()
}

/// These pragmas have an effect only before the first table is created.
#[tokio::test(flavor = "multi_thread")]
async fn pragma_of_a_new_file_takes_effect() {
    for (name, value) in [("auto_vacuum", "1"), ("page_size", "8192"), ("encoding", "UTF-16le")] {
        let file = File::new();
        let mut process =
            Process::connect(file.sqlite().pragma(name, value).broker(&file.table)).await;
        process.publish([1]).await;
        process.reads([1]).await;
        assert_eq!(pragma(&file, name), value);
    }
}

/// SQLCipher's `key` must be set before the file is read: without it, the file is no database.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_pragma_is_refused_without_reading_the_file() {
    let file = File::new();
    fs::write(&file.path, [7; 5000]).unwrap();
    let error = refusal(file.sqlite().pragma("durability", "full").broker(&file.table)).await;
    assert_eq!(error.kind(), ErrorKind::Other, "{error}");
}

/// The lock lasts longer than events wait, and longer than the hub's pause between its looks for
/// losses.
#[tokio::test(flavor = "multi_thread")]
async fn locked_file_refuses_events_and_loses_nothing() {
    let file = File::new();
    let broker = file.sqlite().pragma("busy_timeout", "0").broker(&file.table);
    let mut process = Process::connect(broker).await;
    process.publish([1]).await;
    let lock = file.sql();
    lock.execute_batch("begin immediate").unwrap();
    let insert = format!("insert into {} (topic, data) values ('a', '2')", file.table);
    lock.execute(&insert, []).unwrap();
    let (first, (), second) = tokio::join!(
        process.hub.publish("a", "refused"),
        sleep(Duration::from_millis(500)),
        async {
            sleep(Duration::from_millis(500)).await;
            process.hub.publish("a", "refused").await
        }
    );
    for outcome in [first, second] {
        assert_eq!(refused(outcome).kind(), ErrorKind::Locked);
    }
    let waiting = process.hub.publish("a", "3");
    let unlock = async {
        sleep(Duration::from_millis(100)).await;
        lock.execute_batch("commit").unwrap();
    };
    let (waited, ()) = tokio::join!(waiting, unlock);
    waited.unwrap();
    process.reads(1..=3).await;
    assert_eq!((process.health.reconnections(), process.stats.losses()), (0, 0));
}

/// The statements are the crate's documented ones, in one text, and the second one fails. Python's
/// `executescript` then leaves the transaction open, as `exec` of node:sqlite does.
#[tokio::test(flavor = "multi_thread")]
async fn refusal_says_for_how_long_a_forgotten_transaction_has_locked_the_file() {
    const PYTHON: &str = "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1])\n\
        try: db.executescript(sys.argv[2])\nexcept sqlite3.Error: print('open', flush=True)\n\
        sys.stdin.read()";
    let (file, process) = start().await;
    process.hub.publish("a", "1").await.unwrap();
    let Some(python) = find(&["python3"]) else { return };
    let table = &file.table;
    let sql = format!(
        "begin; insert into {table} (topic, data) values ('a', 'x');
        insert into missing values (1); commit;"
    );
    let mut python = Command::new(python);
    let mut left_open = Program::start(python.args(["-c", PYTHON]).arg(&file.path).arg(sql));
    left_open.reach("open").await;
    let mut shown = Vec::new();
    for _ in 0..2 {
        let error = refused(process.hub.publish("a", "refused").await);
        assert_eq!(error.kind(), ErrorKind::Locked, "{error:?}");
        let text = error.to_string();
        let (_, rest) = text.split_once("in the last ").unwrap_or_else(|| panic!("{text}"));
        shown.push(rest.split_once(" s").unwrap().0.parse::<u64>().unwrap());
        assert_eq!(process.health.last_error().unwrap().to_string(), text);
    }
    assert!(shown[0] >= 2 && shown[1] >= shown[0] + 2, "{shown:?}");
    left_open.kill().await;
    process.hub.publish("a", "2").await.unwrap();
}

/// A hub that starts while the file is locked waits. If the lock stays, connecting fails.
#[tokio::test(flavor = "multi_thread")]
async fn hub_connects_when_the_lock_is_released_in_time() {
    let file = File::new();
    drop(Process::connect(file.broker()).await);
    let lock = file.sql();
    lock.execute_batch("begin immediate").unwrap();
    assert_eq!(refusal(file.broker()).await.kind(), ErrorKind::Locked);
    let unlock = async {
        sleep(Duration::from_millis(300)).await;
        lock.execute_batch("rollback").unwrap();
    };
    tokio::join!(Process::connect(file.broker()), unlock);
}

/// Streams stay open and continue when a backup replaces the file.
#[tokio::test(flavor = "multi_thread")]
async fn corrupted_file_stops_publishing_until_it_is_replaced() {
    let file = File::new();
    // Without a cache: a cached page is not read again, so its damage could go unnoticed.
    let broker = file.sqlite().pragma("cache_size", "0").broker(&file.table);
    let mut process = Process::connect(broker).await;
    process.publish([1]).await;
    process.reads([1]).await;
    let copy = file.with_suffix("-copy");
    file.back_up_to(&copy);
    for suffix in ["", "-wal"] {
        let path = file.with_suffix(suffix);
        let blocks = fs::metadata(&path).unwrap().len().div_ceil(512);
        // Another process writes, because closing the file here would release SQLite's locks.
        let of = format!("of={}", path.display());
        let count = format!("count={blocks}");
        let mut dd = process::Command::new("dd");
        dd.args(["if=/dev/zero", &of, &count, "conv=notrunc", "status=none"]);
        assert!(dd.status().unwrap().success());
    }
    let unnoticed = process.hub.publish("a", "lost").await;
    let is_lost = unnoticed.is_ok();
    assert!(is_lost || refused(unnoticed).kind() == ErrorKind::Corrupted);
    assert_eq!(refusal(file.broker()).await.kind(), ErrorKind::Corrupted);
    file.replace_by(&copy);
    until_async(async || process.hub.publish("a", "2").await.is_ok()).await;
    // The hub may have read the lost event before the copy replaced the file.
    if is_lost && process.client.next().await.event != "gap" {
        process.reads_gap().await;
    }
    process.reads([2]).await;
}
