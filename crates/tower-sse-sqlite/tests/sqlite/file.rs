//! A file and a table for one test.

use std::path::{Path, PathBuf};
use std::sync::{atomic::AtomicUsize, atomic::Ordering::Relaxed};
use std::{env, fs, process, time::Duration};

use rusqlite::Connection;
use tower_sse_sqlite::{Sqlite, SqliteBroker};

pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) table: String,
}

impl File {
    pub(crate) fn new() -> Self {
        static CREATED: AtomicUsize = AtomicUsize::new(0);
        let number = CREATED.fetch_add(1, Relaxed);
        let name = format!("tower-sse-sqlite-{}-{number}.db", process::id());
        Self { path: env::temp_dir().join(name), table: format!("news{number}") }
    }

    pub(crate) fn broker(&self) -> SqliteBroker {
        self.sqlite().broker(&self.table)
    }

    /// Connects as another program would.
    pub(crate) fn sql(&self) -> Connection {
        let connection = Connection::open(&self.path).unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        connection
    }

    /// Runs statements in which `news` stands for the table.
    pub(crate) fn run(&self, statements: &str) {
        self.try_run(statements).unwrap();
    }

    pub(crate) fn try_run(&self, statements: &str) -> rusqlite::Result<()> {
        self.sql().execute_batch(&statements.replace("news", &self.table))
    }

    pub(crate) fn sqlite(&self) -> Sqlite {
        Sqlite::open(&self.path).unwrap()
    }

    pub(crate) fn remove(&self) {
        for suffix in ["", "-wal", "-shm"] {
            _ = fs::remove_file(self.with_suffix(suffix));
        }
    }

    pub(crate) fn with_suffix(&self, suffix: &str) -> PathBuf {
        format!("{}{suffix}", self.path.display()).into()
    }

    pub(crate) fn back_up_to(&self, copy: &Path) {
        self.sql().execute("vacuum into ?", [copy.to_str().unwrap()]).unwrap();
    }

    /// Replaces the file with a copy. Open connections keep the old file, without a name.
    ///
    /// A hub that opens the file meanwhile must find a complete file without another file's `-wal`.
    /// So the contents of `-wal` are first saved in the old file, which stays until the copy
    /// replaces it.
    pub(crate) fn replace_by(&self, copy: &Path) {
        // Ignore an error: a corrupt file has nothing to keep.
        _ = self.sql().query_row("pragma wal_checkpoint", (), |_| Ok(()));
        for suffix in ["-wal", "-shm"] {
            _ = fs::remove_file(self.with_suffix(suffix));
        }
        fs::rename(copy, &self.path).unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.remove();
    }
}
