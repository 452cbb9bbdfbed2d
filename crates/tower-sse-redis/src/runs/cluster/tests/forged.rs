//! Ids that no process has assigned.

use super::*;

/// Sends requests with these ids at the same time. Returns their tasks.
fn ask(process: &Process, ids: Vec<LastEventId>) -> Vec<tokio::task::JoinHandle<StatusCode>> {
    let request = |id: LastEventId| {
        let runs = process.runs.clone();
        tokio::spawn(async move {
            runs.answer(&key(), &request(Some(&id))).await.expect("an answer").status()
        })
    };
    ids.into_iter().map(request).collect()
}

#[tokio::test(start_paused = true)]
async fn thousand_forged_ids_cost_one_mirror_and_sixteen_tasks_that_wait() {
    for is_read in [false, true] {
        let (one, other, source) = started(&["a", "b"]).await;
        sleep(Duration::from_secs(5)).await;
        let live = if is_read { Some(other.attach().await) } else { None };
        let tasks = ask(&other, (3..1_003).rev().map(|sequence| one.id(sequence)).collect());
        sleep(Duration::from_millis(500)).await;
        let waiting = tasks.iter().filter(|task| !task.is_finished()).count();
        assert_eq!((waiting, other.runs.stats().mirrors), (16, 1), "{is_read}");
        {
            let server = other.store.server();
            assert_eq!(server.subscriptions, 1);
            assert!(server.loads <= 2, "{}", server.loads);
            assert!(server.commands["check"] <= 18, "{:?}", server.commands);
        }
        for task in tasks {
            assert_eq!(soon(task).await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
        }
        // The run goes on for clients with true ids.
        let answer = other.answer(Some(&one.id(1))).await;
        send(&source, &["c"]);
        drop(source);
        let epoch = one.epoch();
        let rest = format!("data: b\nid: {epoch}-2\n\ndata: c\nid: {epoch}-3\n\n");
        assert_eq!(text(answer).await, rest);
        drop(live);
    }
}

/// Each client has seen less than the one before.
#[tokio::test(start_paused = true)]
async fn clients_with_every_id_of_a_run_share_two_mirrors() {
    const EVENTS: u64 = 300;
    let (one, other, source) = started(&["x"; EVENTS as usize]).await;
    sleep(Duration::from_secs(5)).await;
    let mut live = Vec::new();
    for sequence in (0..=EVENTS).rev() {
        live.push((sequence, other.answer(Some(&one.id(sequence))).await));
    }
    assert_eq!(other.runs.stats().mirrors, 2);
    assert_eq!(other.store.server().subscriptions, 2);
    send(&source, &["last"]);
    drop(source);
    for (sequence, answer) in live {
        let text = text(answer).await;
        assert_eq!(text.matches("data: ").count() as u64, EVENTS - sequence + 1, "{sequence}");
        assert!(text.contains("data: last\n"), "{sequence}");
    }
}
