//! The main file, `-wal` or `-shm` is removed or replaced without the others, for example by a
//! clean-up of temporary files, or when a backup is moved into place.

use crate::*;
use other::Other;

impl File {
    fn remove_only(&self, suffixes: &[&str]) {
        for suffix in suffixes {
            fs::remove_file(self.with_suffix(suffix)).unwrap();
        }
    }

    /// Returns the data of all events, after a check that the file isn't corrupted.
    fn events(&self) -> Vec<String> {
        let sql = self.sql();
        let check: String = sql.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
        let select = format!("select data from {} where ends < 2 order by id", self.table);
        let mut select = sql.prepare(&select).unwrap();
        select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// Waits until a hub has created the file with this suffix again.
    async fn has_anew(&self, suffix: &str) {
        until(|| self.with_suffix(suffix).exists()).await;
    }
}

/// Calls `remove` while a hub has its files open, then starts a second process, as in a deployment.
/// Asserts that the client of each process receives the event that the other process publishes.
async fn assert_processes_stay_together(remove: impl FnOnce(&File)) {
    let (file, mut process) = start().await;
    process.publish([1]).await;
    process.reads([1]).await;
    remove(&file);
    let mut other = Other::hub(&file).await;
    process.publish([2]).await;
    other.reach("received 2").await;
    other.publish("3").await;
    process.reads([2, 3]).await;
    drop(process);
    other.kill().await;
    assert_eq!(file.events(), ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_joins_a_hub() {
    assert_processes_stay_together(|_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_joins_a_hub_without_wal_and_shm() {
    assert_processes_stay_together(|file| file.remove_only(&["-wal", "-shm"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_joins_a_hub_without_wal() {
    assert_processes_stay_together(|file| file.remove_only(&["-wal"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_joins_a_hub_without_shm() {
    assert_processes_stay_together(|file| file.remove_only(&["-shm"])).await;
}

/// Both processes have the removed files open. SQLite alone would copy the contents of the removed
/// `-wal` into the main file only when the last process closes the database, so each hub does this
/// before it opens the database again.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_without_wal_and_shm_lose_nothing_in_silence() {
    for suffixes in [&["-wal", "-shm"][..], &["-wal"]] {
        let (file, mut process) = start().await;
        let mut other = Other::hub(&file).await;
        process.publish([1]).await;
        process.reads([1]).await;
        other.reach("received 1").await;
        file.remove_only(suffixes);
        file.has_anew("-wal").await;
        process.publish([2]).await;
        other.publish("3").await;
        let mut received = Vec::new();
        while received.last().is_none_or(|data| data != "3") {
            let message = process.client.next().await;
            received.push(if message.event == "gap" { "gap".to_owned() } else { message.data });
        }
        assert!(received == ["2", "3"] || received.contains(&"gap".to_owned()), "{received:?}");
        drop(process);
        other.kill().await;
        let events = file.events();
        assert!(events.ends_with(&["2".to_owned(), "3".to_owned()]), "{events:?}");
    }
}

/// SQLite shares `-shm` between all connections of a process, even after it was removed.
#[tokio::test(flavor = "multi_thread")]
async fn hubs_of_one_process_without_wal_and_shm_lose_nothing_silently() {
    for suffixes in [&["-wal", "-shm"][..], &["-wal"], &["-shm"]] {
        let (file, process) = start().await;
        let mut processes = [process, Process::connect(file.broker()).await];
        processes[0].publish([1]).await;
        for process in &mut processes {
            process.reads([1]).await;
        }
        file.remove_only(suffixes);
        file.has_anew(suffixes[0]).await;
        until(|| processes.iter().all(|process| process.health.reconnections() > 0)).await;
        processes[0].publish([2]).await;
        processes[1].publish([3]).await;
        for process in &mut processes {
            let mut message = process.client.next().await;
            if message.event == "gap" {
                message = process.client.next().await;
            }
            assert_eq!(message.data, "2");
            process.reads([3]).await;
        }
        assert!(file.events().ends_with(&["2".to_owned(), "3".to_owned()]));
    }
}

/// With `locking_mode = exclusive`, there is no `-shm`.
#[tokio::test(flavor = "multi_thread")]
async fn hub_that_locks_the_file_for_itself_misses_no_file() {
    let file = File::new();
    let broker = file.sqlite().pragma("locking_mode", "exclusive").broker(&file.table);
    let mut process = Process::connect(broker).await;
    process.publish([1]).await;
    until(|| process.stats.log().is_some()).await;
    assert_eq!(process.health.reconnections(), 0);
    file.remove_only(&["-wal"]);
    file.has_anew("-wal").await;
    process.publish([2]).await;
    process.reads([1, 2]).await;
    assert_eq!(refusal(file.broker()).await.kind(), ErrorKind::Locked);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_process_whose_wal_was_removed_has_lost_nothing() {
    for suffixes in [&["-wal"][..], &["-wal", "-shm"]] {
        let file = File::new();
        let mut other = Other::hub(&file).await;
        for data in ["1", "2", "3"] {
            other.publish(data).await;
        }
        file.remove_only(suffixes);
        file.has_anew("-wal").await;
        other.publish("4").await;
        other.kill().await;
        assert_eq!(file.events(), ["1", "2", "3", "4"]);
    }
}

/// The program's connection still uses the removed files, so hubs must not create new ones.
#[tokio::test(flavor = "multi_thread")]
async fn removed_wal_in_use_stops_hubs_until_the_program_closes_it() {
    let (file, mut process) = start().await;
    process.publish([1]).await;
    let program = file.sql();
    let insert = format!("insert into {} (topic, data) values ('a', '2')", file.table);
    program.execute(&insert, []).unwrap();
    process.reads([1, 2]).await;
    file.remove_only(&["-wal", "-shm"]);
    until_async(async || process.hub.publish("a", "refused").await.is_err()).await;
    until(|| !process.health.is_ready()).await;
    assert_eq!(refusal(file.broker()).await.kind(), ErrorKind::Locked);
    assert!(!file.with_suffix("-wal").exists());
    drop(program);
    process.publish([3]).await;
    while process.client.data(1).await != ["3"] {}
    let events = file.events();
    assert!(events.starts_with(&["1".to_owned(), "2".to_owned()]), "{events:?}");
}

/// SQLite must not use the old file's `-wal` for the backup.
#[tokio::test(flavor = "multi_thread")]
async fn backup_moved_over_the_main_file_alone_is_told_to_all() {
    for numbers in [2..=3, 2..=900] {
        let (file, mut process) = start().await;
        let mut other = Other::hub(&file).await;
        process.publish([1]).await;
        let copy = file.with_suffix("-copy");
        file.back_up_to(&copy);
        process.publish(numbers.clone()).await;
        process.reads(1..=*numbers.end()).await;
        fs::rename(&copy, &file.path).unwrap();
        process.reads_gap().await;
        other.reach("received gap").await;
        other.publish("new").await;
        assert_eq!(process.client.data(1).await, ["new"]);
        assert_eq!(file.events(), ["1", "new"]);
    }
}

/// The hub removes the old `-shm`, which a forgotten `sqlite3` shell still uses: otherwise, SQLite
/// would also use it for the new file.
#[tokio::test(flavor = "multi_thread")]
async fn hub_continues_although_a_shell_has_the_removed_file_open() {
    let (file, old) = (File::new(), File::new());
    for rename in [false, true] {
        let mut process = Process::connect(file.broker()).await;
        let _shell = Other::shell(&file).await;
        process.publish([1, 2]).await;
        process.reads([1, 2]).await;
        if rename {
            fs::rename(&file.path, &old.path).unwrap();
        } else {
            fs::remove_file(&file.path).unwrap();
        }
        process.reads_gap().await;
        process.publish([3]).await;
        process.reads([3]).await;
        assert_eq!(file.events(), ["3"]);
        drop(process);
        file.remove();
    }
    // The renamed file is complete without its `-wal`.
    let old = File { path: old.path.clone(), table: file.table.clone() };
    assert_eq!(old.events(), ["1", "2"]);
}

/// Only the link changes: the old file keeps its path, so its `-wal` stays too.
#[tokio::test(flavor = "multi_thread")]
async fn link_set_to_another_file_leaves_the_log_of_the_old_one() {
    let (mut file, other) = (File::new(), File::new());
    let link = file.with_suffix("-link");
    std::os::unix::fs::symlink(&file.path, &link).unwrap();
    let broker = Sqlite::open(&link).unwrap().broker(&file.table);
    let mut process = Process::connect(broker).await;
    process.publish([1]).await;
    process.reads([1]).await;
    let shell = Other::shell(&file).await;
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&other.path, &link).unwrap();
    process.reads_gap().await;
    process.publish([2]).await;
    process.reads([2]).await;
    assert!(file.with_suffix("-wal").exists());
    shell.kill().await;
    assert_eq!(file.events(), ["1"]);
    fs::remove_file(&link).unwrap();
    file.path = other.path.clone();
    assert_eq!(file.events(), ["2"]);
}
