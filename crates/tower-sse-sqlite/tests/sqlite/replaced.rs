//! Files and tables that are removed, replaced, restored or vacuumed while processes use them.

use crate::*;

/// Replaces the file under a connected process. Asserts that clients of this process and of a new
/// one receive a gap, and that both processes then use the same file.
async fn assert_notices(file: &File, replace: impl FnOnce()) {
    let mut old = Process::connect(file.broker()).await;
    let start = old.publish([1]).await.unwrap().id();
    let mut resumed = Client::resume(&old.hub, &["a"], Some(start.clone().into()));
    let newest = old.publish([2]).await.unwrap().id();
    old.reads([1, 2]).await;
    resumed.data(1).await;
    replace();
    let mut new = Process::connect(file.broker()).await;
    new.client = Client::resume(&new.hub, &["a"], Some(newest.into()));
    // This event may be acknowledged in the old file. The gap then reports its loss.
    _ = old.hub.publish("a", "lost or not").await;
    old.reads_gap().await;
    resumed.gap("a").await;
    new.reads_gap().await;
    for (publisher, number) in [(&old.hub, "3"), (&new.hub, "4")] {
        hub_process::publish(publisher, "a", number).await;
    }
    for client in [&mut old.client, &mut resumed, &mut new.client] {
        let mut data = client.data(1).await;
        if data == ["lost or not"] {
            data = client.data(1).await;
        }
        assert_eq!((data, client.data(1).await), (vec!["3".to_owned()], vec!["4".to_owned()]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_file_is_told_to_all() {
    let file = File::new();
    assert_notices(&file, || file.remove()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_in_place_of_the_file_is_told_to_all() {
    let file = File::new();
    drop(Process::connect(file.broker()).await);
    let copy = file.with_suffix("-copy");
    file.back_up_to(&copy);
    assert_notices(&file, || file.replace_by(&copy)).await;
}

/// A copy lacks a row that perhaps no hub has read, and its next row gets the missing row's number.
#[tokio::test(flavor = "multi_thread")]
async fn unread_row_that_a_copy_in_place_lacks_is_told_to_all() {
    let (file, process) = start().await;
    let mut processes = [process, Process::connect(file.broker()).await];
    processes[0].publish([1]).await;
    for process in &mut processes {
        process.reads([1]).await;
    }
    let (copy, program) = (file.with_suffix("-copy"), file.sql());
    let insert = format!("insert into {} (topic, data) values ('a', '2')", file.table);
    let mut insert = program.prepare(&insert).unwrap();
    file.back_up_to(&copy);
    insert.execute(()).unwrap();
    file.replace_by(&copy);
    file.run("insert into news (topic, data) values ('a', '3')");
    for process in &mut processes {
        while process.client.next().await.event != "gap" {}
    }
}

/// Adds the mark of the page `operating` before the first process starts.
#[tokio::test(flavor = "multi_thread")]
async fn restore_while_all_processes_are_stopped_is_told_after_the_documented_mark() {
    let page = include_str!("../../docs/operating.md");
    let (_, mark) = page.split_once("```sql,restored\n").unwrap();
    let (mark, _) = mark.split_once("```").unwrap();
    let file = File::new();
    let copy = file.with_suffix("-copy");
    let restore = async || {
        // The last connection to the file removes it.
        until(|| !file.with_suffix("-wal").exists()).await;
        fs::rename(&copy, &file.path).unwrap();
        file.run(mark);
    };
    let connect = async || Process::connect(file.broker()).await;
    hub_process::restore_is_told(connect, async || file.back_up_to(&copy), restore).await;
}

/// Does what [`assert_notices`] does, with a backup that is restored into the file.
async fn assert_notices_a_restore(trigger: &str) {
    let (file, copy) = (File::new(), File::new());
    drop(Process::connect(file.broker()).await);
    file.run(trigger);
    file.back_up_to(&copy.path);
    let restore = || {
        let (source, mut target) = (copy.sql(), file.sql());
        let backup = Backup::new(&source, &mut target).unwrap();
        backup.run_to_completion(100, Duration::ZERO, None).unwrap();
    };
    assert_notices(&file, restore).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_restored_into_the_file_is_told_to_all() {
    assert_notices_a_restore("").await;
}

/// The mark of a loss has an empty topic.
#[tokio::test(flavor = "multi_thread")]
async fn loss_is_told_although_a_trigger_refuses_empty_topics() {
    assert_notices_a_restore(
        "create trigger valid before insert on news when new.topic = '' begin
            select raise(abort, 'no topic'); end;",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_table_is_told_to_all() {
    let file = File::new();
    assert_notices(&file, || file.run("drop table news")).await;
}

/// No process that knows what was lost is left, but no new event gets a lost event's id.
#[tokio::test(flavor = "multi_thread")]
async fn clients_of_lost_events_receive_all_later_ones() {
    let (file, process) = start().await;
    process.publish([1]).await;
    let copy = file.with_suffix("-copy");
    file.back_up_to(&copy);
    let lost = process.publish([2, 3]).await.unwrap().id();
    drop(process);
    file.replace_by(&copy);
    let process = Process::connect(file.broker()).await;
    let mut client = Client::resume(&process.hub, &["a"], Some(lost.into()));
    file.run("insert into news (topic, data) values ('a', '4')");
    process.publish([5]).await;
    assert_eq!(client.data(2).await, ["4", "5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn vacuum_loses_nothing() {
    let (file, mut process) = start().await;
    process.publish(1..=100).await;
    file.run("delete from news where id < (select max(id) - 50 from news); vacuum");
    process.publish(101..=110).await;
    process.reads(1..=110).await;
    assert_eq!((process.health.reconnections(), process.stats.losses()), (0, 0));
}

/// The clock was two hours ahead and has been corrected.
#[tokio::test(flavor = "multi_thread")]
async fn loss_of_an_old_event_with_a_future_id_is_marked() {
    let file = File::new();
    drop(Process::connect(file.broker()).await);
    let now = UNIX_EPOCH.elapsed().unwrap();
    let (id, at) = (now + Duration::from_secs(7_200), now - Duration::from_secs(3_600));
    let columns = "insert into news (id, at, topic, data) values";
    file.run(&format!("{columns} ({}, {}, 'a', '1')", id.as_micros(), at.as_micros()));
    let mut process = Process::connect(file.broker()).await;
    file.remove();
    // Both results are correct: the hub may already have found the new file.
    _ = process.hub.publish("a", "published or not").await;
    process.reads_gap().await;
    process.publish([2]).await;
    while process.client.data(1).await != ["2"] {}
}
