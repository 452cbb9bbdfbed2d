//! The example of a broker, over a file of SQLite, passes the kit, and notices another file in place
//! of its own.

use crate::*;

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
            connection.busy_timeout(Duration::from_secs(10)).unwrap();
            connection.execute_batch(&statements).unwrap();
        })
    }

    fn remove(&self) {
        for suffix in ["", "-wal", "-shm"] {
            _ = fs::remove_file(format!("{}{suffix}", self.0.display()));
        }
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
        self.remove();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_broker_passes_the_kit() {
    check(Database::new).await;
}

/// Reads up to an event with this line, and returns what was read.
#[cfg(unix)]
async fn read_until(client: &mut Subscription, line: &str) -> String {
    let mut read = String::new();
    while !read.lines().any(|other| other == line) {
        let next = timeout(Duration::from_secs(10), client.next()).await;
        let item = next.unwrap_or_else(|_| panic!("{line:?} did not come: {read}")).unwrap();
        read += &String::from_utf8_lossy(item.as_bytes());
    }
    read
}

/// Replaces the file under a connected process, and asserts that clients of this process and of a
/// new one are told what was lost, and that both processes then use the same file.
#[cfg(unix)]
async fn assert_notices(database: &Database, replace: impl FnOnce()) {
    let old = Hub::connect(database.broker()).await.unwrap();
    let start = old.publish("news", "start").await.unwrap().id();
    let mut client = old.subscribe_to("news").resume(start.clone());
    old.publish("news", "before").await.unwrap();
    read_until(&mut client, "data: before").await;
    replace();
    let new = Hub::connect(database.broker()).await.unwrap();
    let of_new = new.subscribe_to("news").resume(start.clone());
    // May be acknowledged in the old file.
    let lost = old.publish("news", "lost").await.map_or(start, |receipt| receipt.id());
    let read = read_until(&mut client, "event: gap").await;
    while old.publish("news", "after").await.is_err() {
        sleep(Duration::from_millis(10)).await;
    }
    for (mut client, mut read) in [(client, read), (of_new, String::new())] {
        read += &read_until(&mut client, "data: after").await;
        let gaps = read.split("\n\n").filter(|event| event.contains("event: gap"));
        let newest_gap = gaps.flat_map(str::lines).filter(|line| line.starts_with("id: ")).max();
        let is_covered = newest_gap.expect("a gap") >= &*format!("id: {lost}");
        assert!(
            is_covered || read.contains("data: lost"),
            "{lost} is missing without a gap: {read}"
        );
    }
}

#[tokio::test]
#[cfg(unix)]
async fn other_file_in_place_of_its_own_is_told_to_all() {
    let database = Database::new().await;
    assert_notices(&database, || database.remove()).await;
    let (database, backup) = (Database::new().await, Database::new().await);
    drop(Hub::connect(database.broker()).await.unwrap());
    database.run(format!("vacuum into '{}'", backup.0.display())).await;
    let replace = || {
        database.remove();
        fs::rename(&backup.0, &database.0).unwrap();
    };
    assert_notices(&database, replace).await;
}
