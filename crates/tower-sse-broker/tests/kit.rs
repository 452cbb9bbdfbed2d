//! The example of a broker, over a file of SQLite, passes the kit.

#[path = "../docs/sqlite_broker.rs"]
#[allow(missing_debug_implementations, unreachable_pub)]
mod sqlite_broker;

use std::sync::atomic::Ordering::Relaxed;
use std::{env, fs, path::PathBuf, process, sync::atomic::AtomicUsize};

use rusqlite::Connection;
use tower_sse::testing::broker::{Fault, World, check};

use crate::sqlite_broker::SqliteBroker;

struct Database(PathBuf);

impl Database {
    async fn new() -> Self {
        static CREATED: AtomicUsize = AtomicUsize::new(0);
        let number = CREATED.fetch_add(1, Relaxed);
        Self(env::temp_dir().join(format!("tower-sse-kit-{}-{number}.sqlite", process::id())))
    }

    fn run(&self, statements: String) -> Fault<'_> {
        Box::pin(async move {
            let connection = Connection::open(&self.0).unwrap();
            connection.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
            connection.execute_batch(&statements).unwrap();
        })
    }
}

impl World for Database {
    type Broker = SqliteBroker;

    fn broker(&self) -> SqliteBroker {
        SqliteBroker(self.0.clone())
    }

    fn trim(&self, keep: usize) -> Option<Fault<'_>> {
        let oldest = "select number from log where kind < 2 order by number desc";
        let oldest = format!("{oldest} limit 1 offset {}", keep - 1);
        Some(self.run(format!("delete from log where number < ({oldest})")))
    }

    fn lose(&self) -> Option<Fault<'_>> {
        Some(self.run("delete from log".to_owned()))
    }

    fn roll_back(&self) -> Option<(Fault<'_>, Fault<'_>)> {
        let copy = "create table copy as select * from log";
        let put_back =
            "begin immediate; delete from log; insert into log select * from copy; commit";
        Some((self.run(copy.to_owned()), self.run(put_back.to_owned())))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            _ = fs::remove_file(format!("{}{suffix}", self.0.display()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_broker_passes_the_kit() {
    check(Database::new).await;
}
