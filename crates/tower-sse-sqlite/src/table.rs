use std::time::{Duration, Instant, UNIX_EPOCH};
use std::{cell::Cell, path::PathBuf, thread};

use rusqlite::{CachedStatement, Connection, Error as Failed, Result, Row, ffi};
use rusqlite::{Transaction, TransactionBehavior::Immediate, config::DbConfig, params};
use tower_sse::hub::broker::{Fields, Publication};
use tower_sse_broker::__private::{Identity, Queued};

use crate::error::{failed, is_of_row, of_sqlite};
use crate::files::{Files, REMOVED, failure};
use crate::{Error, ErrorKind};

/// The statements that create the table `news`, for a migration: a program can then publish before
/// the first hub connects. For another table, replace each `news`, even in `news_id`, with the
/// table's name in lower case. The package also has the statements as `schema/v1.sql`.
// The small columns come first, because SQLite reads a row from its beginning. `ends` is 1 for the
// last event of its topic, and 2 for a mark of a loss. The trigger refuses a row whose id is below
// the newest: connected clients would not receive it.
pub const SCHEMA: &str = include_str!("../schema/v1.sql");
/// The pause before another attempt to lock the file.
pub(crate) const LOCK_PAUSE: Duration = Duration::from_millis(2);
/// How long to wait for a lock.
pub(crate) const LOCK_LIMIT: Duration = Duration::from_secs(2);
/// The maximum number of rows that are removed in one transaction.
const MAX_TRIMMED: u64 = 10_000;
/// The size of the removed rows, in bytes, at which a transaction ends. SQLite reads the rows that
/// it removes, and publishers wait for the lock meanwhile, even on a slow disk.
const MAX_TRIMMED_BYTES: u64 = 4 << 20;
/// The age up to which a row counts as new. A hub that keeps up has read all older rows.
const SETTLED: Duration = Duration::from_secs(2);

/// A table's file and name, and the pragmas for its connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) pragmas: Vec<(String, String)>,
    pub(crate) table: String,
}

/// A table and the connection to its file.
pub(crate) struct Table {
    source: Source,
    pub(crate) connection: Connection,
    pub(crate) files: Files,
}

/// The result of a transaction that adds events.
pub(crate) struct Appended {
    /// The time at which the events were added, since 1970.
    pub(crate) at: Duration,
    /// For each event, its number, or the error with which SQLite refused it.
    pub(crate) numbers: Vec<Result<u64, Error>>,
}

pub(crate) struct Trimmed {
    /// Whether rows are left that another trim would remove.
    pub(crate) is_full: bool,
    /// Whether no row is left before the first one to keep.
    pub(crate) is_done: bool,
}

impl Source {
    /// Sets the pragmas in order. Call this before any other statement reads or writes the file.
    fn set_pragmas(&self, connection: &mut Connection) -> Result<()> {
        let memory = Connection::open_in_memory()?;
        for (pragma, value) in &self.pragmas {
            // SQLite ignores unknown pragmas without an error.
            let is_known = "select exists (select 1 from pragma_pragma_list where name = lower(?))";
            if !memory.query_row(is_known, [pragma], |row| row.get(0))? {
                let reason = format!("SQLite has no pragma `{pragma}`");
                return Err(failure(ffi::SQLITE_ERROR, reason));
            }
            connection.pragma_update(None, pragma, value)?;
        }
        if !self.pragmas.iter().any(|(pragma, _)| pragma.eq_ignore_ascii_case("synchronous")) {
            connection.pragma_update(None, "synchronous", "normal")?;
        }
        // Set this last, because the pragma `busy_timeout` would replace the handler.
        connection.busy_handler(Some(wait_for_lock))
    }
}

impl Table {
    /// Opens the file and creates the table and its trigger if they are missing.
    pub(crate) fn open(source: Source) -> Result<Self, Error> {
        let name = source.table.clone();
        let wrong = |kind, reason| Err(failed(kind, format!("table {name:?} {reason}")));
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || name.starts_with("sqlite_") || !name.bytes().all(is_letter) {
            let rule = "has more than ASCII letters, digits and _, or begins with sqlite_";
            return wrong(ErrorKind::Other, rule);
        }
        let mut table = Self::connect(source).map_err(of_sqlite)?;
        // Git can change line breaks, both here and in a migration.
        let schema = SCHEMA.replace("news", &name).replace('\r', "");
        let (create, trigger) = schema.split_once(";\n\n").unwrap_or_default();
        let definition = create.replace("create table if not exists", "CREATE TABLE");
        if table.create(create).map_err(of_sqlite)?.replace('\r', "") != definition {
            return wrong(ErrorKind::WrongSchema, "was not created by this version of the crate");
        }
        let mode = table.prepare(trigger).map_err(of_sqlite)?;
        if !table.has_trigger().map_err(of_sqlite)? {
            return wrong(ErrorKind::WrongSchema, "has a name whose trigger another table has");
        }
        table.files.note();
        match mode.as_str() {
            "wal" => Ok(table),
            _ => wrong(ErrorKind::Other, "is in a file that cannot have `journal_mode = wal`"),
        }
    }

    fn connect(source: Source) -> Result<Self> {
        let (files, connection) = Files::open(&source.path, |it| source.set_pragmas(it))?;
        Ok(Self { source, connection, files })
    }

    /// Creates the table if it is missing, and returns its definition.
    fn create(&self, create: &str) -> Result<String> {
        self.connection.execute(create, [])?;
        // Look at tables and views only, because a trigger can have the same name.
        let definition = "select sql from sqlite_schema where type in ('table', 'view') and
            name = ? collate nocase";
        self.connection.query_row(definition, [&self.source.table], |row| row.get(0))
    }

    /// Returns whether the trigger belongs to this table, not to an earlier table that was renamed.
    fn has_trigger(&self) -> Result<bool> {
        let trigger = "select exists (select 1 from sqlite_schema where type = 'trigger' and
            lower(name) = lower(?1 || '_id') and lower(tbl_name) = lower(?1))";
        self.connection.query_row(trigger, [&self.source.table], |row| row.get(0))
    }

    /// Sets the journal mode and creates the trigger if it is missing. Returns the mode.
    fn prepare(&self, trigger: &str) -> Result<String> {
        let mode =
            self.connection.pragma_update_and_check(None, "journal_mode", "wal", |it| it.get(0))?;
        self.connection.execute(trigger, []).map(|_| mode)
    }

    /// Prepares a statement in which `{}` stands for the table.
    pub(crate) fn statement(&self, sql: &str) -> Result<CachedStatement<'_>> {
        self.connection.prepare_cached(&sql.replace("{}", &format!("\"{}\"", self.source.table)))
    }

    /// Returns the number that a statement without parameters selects.
    pub(crate) fn number(&self, sql: &str) -> Result<u64> {
        self.statement(sql)?.query_row([], |row| row.get(0))
    }

    pub(crate) fn newest(&self) -> Result<Identity> {
        let newest = "select id, nonce from {} order by id desc limit 1";
        self.statement(newest)?.query_row([], identity_of)
    }

    pub(crate) fn has(&self, row: Identity) -> Result<bool> {
        let row = (row.number, row.fingerprint.cast_signed());
        let mut found = self.statement("select 1 from {} where id = ? and nonce = ?")?;
        found.exists(row)
    }

    /// Adds events in one transaction. Adds a mark before them if the table is empty, if its newest
    /// row is below `seen`, or if no mark follows `lost`. If it adds no row, advances the next
    /// number to the current time, so that a restored older file doesn't use numbers again.
    pub(crate) fn append(
        &self,
        seen: u64,
        lost: Option<u64>,
        batch: &[Queued],
    ) -> Result<Appended> {
        self.append_rows(seen, lost, batch, false)
    }

    /// Does what [`append`](Self::append) does. `has_savepoints` says whether to set a savepoint for
    /// each event, which slows down inserts.
    fn append_rows(
        &self,
        seen: u64,
        lost: Option<u64>,
        batch: &[Queued],
        has_savepoints: bool,
    ) -> Result<Appended> {
        let transaction = Transaction::new_unchecked(&self.connection, Immediate)?;
        if !self.files.are_in_place() {
            return Err(failure(ffi::SQLITE_IOERR, REMOVED));
        }
        let newest = self.number("select ifnull(max(id), 0) from {}")?;
        let marks = |lost| format!("select count(*) from {{}} where id > {lost} and ends = 2");
        let is_unmarked = lost.map(|lost| self.number(&marks(lost))).transpose()? == Some(0);
        let at = now();
        if newest == 0 || newest < seen || is_unmarked {
            self.add_mark(at.max(seen + 1).max(newest + 1))?;
        } else if batch.is_empty() {
            let leap = "update sqlite_sequence set seq = max(seq, ?) where name = ?";
            self.statement(leap)?.execute(params![at, self.source.table])?;
        }
        let insert = "insert into {} (at, nonce, ends, topic, event, retry, comment, data)
            values (?, ?, ?, ?, ?, ?, ?, ?)";
        let (mut insert, mut numbers) = (self.statement(insert)?, Vec::with_capacity(batch.len()));
        for Queued { publication, nonce, .. } in batch {
            let Publication { topic, event, ends_topic, .. } = publication;
            let Fields { data, name, retry, comment, .. } = event.fields();
            let retry = retry.map(|retry| i64::try_from(retry).unwrap_or(-1));
            let row = params![at, nonce, ends_topic, topic, name, retry, comment, data];
            if has_savepoints {
                self.connection.execute_batch("savepoint event")?;
            }
            let changes = self.connection.total_changes();
            let number = insert.insert(row);
            let wrote = self.connection.total_changes() != changes;
            // There is no code if a trigger leaves the row out.
            let code = number.as_ref().err().and_then(Failed::sqlite_error_code);
            let is_refused = number.as_ref().is_err_and(is_of_row);
            match number {
                Err(error) if code.is_some() && !is_refused || self.connection.is_autocommit() => {
                    return Err(error);
                }
                // A trigger has written something first, or kept the row by `raise(fail)`.
                Err(_) if is_refused && wrote && !has_savepoints => {
                    transaction.rollback()?;
                    return self.append_rows(seen, lost, batch, true);
                }
                number => numbers.push(number.map(i64::cast_unsigned).map_err(of_sqlite)),
            }
            if has_savepoints {
                let undo = if is_refused { "rollback to event; " } else { "" };
                self.connection.execute_batch(&format!("{undo}release event"))?;
            }
        }
        transaction.commit().map(|()| Appended { at: Duration::from_micros(at), numbers })
    }

    /// Adds a mark without triggers, because a program's trigger could refuse it. The hub could then
    /// neither report the loss nor open the table.
    fn add_mark(&self, number: u64) -> Result<()> {
        let mark = "insert into {} (id, ends, topic, data) values (?, 2, '', '')";
        let triggers = DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER;
        self.connection.set_db_config(triggers, false)?;
        let added = self.statement(mark).and_then(|mut mark| mark.execute([number]));
        self.connection.set_db_config(triggers, true)?;
        added.map(|_| ())
    }

    /// Returns the number from which on rows are neither older than `age` nor come before the
    /// newest `max` rows or bytes.
    pub(crate) fn first_kept(&self, age: Duration, max: Option<(u64, u64)>) -> Result<u64> {
        let (before_age, now) = (before(age), now());
        // If a row's time is in the future, judge its age by the rows after it.
        let young = format!(
            "select id from {{}} where at >= {before_age} and (at <= {now} or id > ifnull(
                (select id from {{}} where at < {before_age} order by id desc limit 1), 0))
            order by id limit 1"
        );
        let mut first = self.number(&format!("select ifnull(({young}), 1 << 62)"))?;
        if let Some((mut events, mut bytes)) = max {
            let mut rows = self.statement("select id, bytes from {} order by id desc")?;
            let mut rows = rows.query([])?;
            while let Some(row) = rows.next()? {
                let left = events.checked_sub(1).zip(bytes.checked_sub(row.get(1)?));
                let Some(left) = left else {
                    first = first.max(row.get::<_, u64>(0)? + 1);
                    break;
                };
                (events, bytes) = left;
            }
        }
        Ok(first)
    }

    /// Removes rows before `first`: up to [`MAX_TRIMMED`] rows, or rows of [`MAX_TRIMMED_BYTES`]
    /// and one more. Keeps the rows that count as new (see [`SETTLED`]) and the row before them.
    pub(crate) fn trim(&self, first: u64) -> Result<Trimmed> {
        // Keep the row before the new ones: from it, a hub can tell that no row is missing.
        let settled = format!(
            "select id from {{}} where at not between {} and {} order by id desc limit 1",
            before(SETTLED),
            now()
        );
        let old = format!("select id, bytes from {{}} where id < min({first}, ({settled}))");
        let is_full = format!("select exists ({old})");
        let part = format!(
            "select id from (
                select id, sum(bytes) over (order by id) - bytes as before
                from ({old} order by id limit {MAX_TRIMMED})
            ) where before < {MAX_TRIMMED_BYTES}"
        );
        let mut count = 0;
        if self.number(&is_full)? > 0 {
            let mut trim = self.statement(&format!("delete from {{}} where id in ({part})"))?;
            // Don't wait for a lock, because the thread has other jobs.
            PATIENCE.set(Duration::ZERO);
            let trimmed = trim.execute([]);
            PATIENCE.set(LOCK_LIMIT);
            count = trimmed?;
        }
        let is_done =
            self.number(&format!("select not exists (select 1 from {{}} where id < {first})"))? > 0;
        // If a program's trigger keeps the rows, another trim would not remove them either.
        Ok(Trimmed { is_full: count > 0 && self.number(&is_full)? > 0, is_done })
    }

    /// Returns the age of the oldest row whose time is neither in the future nor before 1970, and
    /// the database's size.
    pub(crate) fn survey(&self) -> Result<(Duration, u64)> {
        let now = now();
        let oldest =
            format!("select at from {{}} where at between 0 and {now} order by id limit 1");
        let oldest = self.number(&format!("select ifnull(({oldest}), {now})"))?;
        let oldest_age = Duration::from_micros(now.saturating_sub(oldest));
        let size = "select page_count * page_size from pragma_page_count, pragma_page_size";
        Ok((oldest_age, self.number(size)?))
    }
}

thread_local! {
    static SINCE: Cell<Instant> = Cell::new(Instant::now());
    /// How long this thread's connection waits for a lock.
    static PATIENCE: Cell<Duration> = const { Cell::new(LOCK_LIMIT) };
}

/// Waits a moment for a lock that another connection holds. Returns whether to try again.
fn wait_for_lock(attempts: i32) -> bool {
    if attempts == 0 {
        SINCE.set(Instant::now());
    }
    let waits = SINCE.get().elapsed() < PATIENCE.get();
    thread::sleep(if waits { LOCK_PAUSE } else { Duration::ZERO });
    waits
}

/// Returns the identity of a row whose first columns are `id` and `nonce`.
pub(crate) fn identity_of(row: &Row<'_>) -> Result<Identity> {
    Ok(Identity { number: row.get(0)?, fingerprint: row.get::<_, i64>(1)?.cast_unsigned() })
}

/// Returns the time since 1970 in microseconds.
pub(crate) fn now() -> u64 {
    UNIX_EPOCH.elapsed().unwrap_or_default().as_micros().try_into().unwrap_or(u64::MAX)
}

/// Returns the time `age` ago, in microseconds since 1970.
pub(crate) fn before(age: Duration) -> i64 {
    let age = age.as_micros().try_into().unwrap_or(u64::MAX);
    now().saturating_sub(age).try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::PathBuf, process, time::Duration};

    use super::{Source, Table, now};

    const INSERT: &str = "insert into news (at, topic, data) values (1, 'a', ''), (?, 'a', '')";
    const AGE: &str = "update news set at = ? where at > 1";

    /// A table and its directory, which is removed when this value is dropped.
    struct Temporary(Table, PathBuf);

    impl Temporary {
        fn new(name: &str) -> Self {
            let name = format!("tower-sse-sqlite-{}-{name}", process::id());
            let directory = env::temp_dir().join(name);
            fs::create_dir_all(&directory).unwrap();
            let (path, table) = (directory.join("events.db"), "news".to_owned());
            let source = Source { path, table, ..Source::default() };
            Self(Table::open(source).unwrap(), directory)
        }

        /// Runs a statement with the time `at`, then trims by `max` or, if that is `None`, by an
        /// age of a second. Returns the number of rows left and whether the trim is done.
        fn trim(&self, statement: &str, at: u64, max: Option<(u64, u64)>) -> (u64, bool) {
            self.0.connection.execute(statement, [at]).unwrap();
            let age = max.map_or(Duration::from_secs(1), |_| Duration::MAX);
            let is_done = self.0.first_kept(age, max).and_then(|first| self.0.trim(first));
            let is_done = is_done.unwrap().is_done;
            (self.0.number("select count(*) from {}").unwrap(), is_done)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.1).unwrap();
        }
    }

    #[test]
    fn commits_wait_for_the_disk_only_if_that_was_set() {
        let temporary = Temporary::new("synchronous");
        let mut source = temporary.0.source.clone();
        for (name, expected) in [("cache_size", 1), ("SYNCHRONOUS", 2)] {
            source.pragmas.push((name.to_owned(), "2".to_owned()));
            let table = Table::open(source.clone()).unwrap();
            assert_eq!(table.number("pragma synchronous"), Ok(expected));
        }
    }

    /// The clock was an hour ahead when the first row was written.
    #[test]
    fn row_with_a_future_time_is_trimmed_with_older_rows_after_it() {
        let (old, young) = (Temporary::new("future-old"), Temporary::new("future-young"));
        let insert = |at: &str| {
            let future = "insert into news (at, topic, data) values (?1 + 3600000000, 'a', '')";
            format!("{future}, (?1 - {at}, 'a', ''), (?1 - {at}, 'a', '')")
        };
        assert_eq!(old.trim(&insert("3000000"), now(), None).0, 1);
        assert!(old.0.survey().unwrap().0 > Duration::from_secs(2));
        assert_eq!(young.trim(&insert("0"), now(), None), (3, true));
    }

    #[test]
    fn row_before_a_new_one_stays_until_hubs_have_read_both() {
        let table = Temporary::new("age");
        assert_eq!(table.trim(INSERT, now(), None), (2, false));
        assert_eq!(table.trim(AGE, now() - 3_000_000, None).0, 1);
    }

    /// Publishers wait for a part, so its size must not depend on how many rows are too old.
    #[test]
    fn trim_removes_a_small_part_of_large_rows() {
        let table = Temporary::new("large");
        let insert = "with recursive n(n) as (select 1 union all select n + 1 from n limit 20)
            insert into news (at, topic, data) select ?, 'a', printf('%1000000s', n) from n";
        assert_eq!(table.trim(insert, now() - 3_000_000, None), (15, false));
        let none = "update news set at = at where id = ?";
        for left in [10, 5, 1] {
            assert_eq!(table.trim(none, 0, None).0, left);
        }
    }

    #[test]
    fn rows_above_the_limit_are_counted_again_while_they_are_new() {
        let (table, max) = (Temporary::new("limit"), Some((1, u64::MAX)));
        let insert = "insert into news (at, topic, data) values (?1, 'a', ''), (?1, 'a', '')";
        assert_eq!(table.trim(insert, now(), max), (2, false));
        assert_eq!(table.trim("update news set at = ?", now() - 3_000_000, max), (1, true));
    }
}
