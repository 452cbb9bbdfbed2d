use http::header::{ACCEPT, CACHE_CONTROL};

use super::*;

/// Creates two processes, and starts a run of the first one with two events. Also returns the id of
/// the second event, which the other process does not have yet.
async fn ahead() -> (Process, Process, Source, LastEventId) {
    let (one, other, source) = started(&["a", "b"]).await;
    let run = one.get().await.unwrap();
    read(&mut run.attach(None).await.unwrap(), 2).await;
    let last = one.id(2);
    (one, other, source, last)
}

#[tokio::test(start_paused = true)]
async fn handle_attaches_a_client_ahead_of_the_export() {
    for is_away in [false, true] {
        let (_one, other, source, last) = ahead().await;
        let run = other.get().await.unwrap();
        let away = OptionFuture::from(is_away.then(|| other.store.leave_for(LEASE)));
        let live = join(away, soon(run.attach(last.clone()))).await.1.expect("an attachment");
        let answer = soon(run.answer(&request(Some(&last)))).await;
        assert_eq!(answer.status(), StatusCode::OK);
        finish(source, &["c"]);
        assert_whole(live, &["c"]).await;
    }
}

/// The client must be able to reconnect, so the answer is not `404`.
#[tokio::test(start_paused = true)]
async fn handle_without_contact_to_the_store_fails_a_client_that_is_ahead() {
    let (_one, other, _source, last) = ahead().await;
    let run = other.get().await.unwrap();
    other.store.go_away();
    assert_fails(soon(run.attach(last.clone())).await.expect("an attachment"), &[], None).await;
    let answer = soon(run.answer(&request(Some(&last)))).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    sleep(LEASE).await;
    other.store.come_back().await;
    assert_eq!(read(&mut run.attach(None).await.unwrap(), 2).await, ["a", "b"]);
}

/// Answers a request of an `EventSource`, and returns the status.
async fn event_source(process: &Process, last: &LastEventId) -> StatusCode {
    let mut parts = request(Some(last));
    parts.headers.insert(ACCEPT, "text/event-stream".parse().unwrap());
    parts.headers.insert(CACHE_CONTROL, "no-cache".parse().unwrap());
    soon(process.runs.answer(&KEY, &parts)).await.expect("an answer").status()
}

#[tokio::test(start_paused = true)]
async fn client_with_the_last_event_is_not_refused_whenever_the_run_ends() {
    for (loses_hints, loses_pushes) in [(false, false), (true, false), (false, true), (true, true)]
    {
        for moment in (0..=600).step_by(20) {
            let case = format!("hints: {loses_hints}, pushes: {loses_pushes}, {moment} ms");
            let (one, other, source, last) = ahead().await;
            let beyond = one.id(3);
            one.store.faults().loses_pushes = loses_hints;
            other.store.faults().loses_pushes = loses_pushes;
            other.store.faults().delay = Duration::from_millis(100);
            let ending = after(Duration::from_millis(moment), || drop(source));
            let waiting = async {
                let (status, answer, unknown) = tokio::join!(
                    event_source(&other, &last),
                    other.answer(Some(&last)),
                    other.status(Some(&beyond)),
                );
                let status = status.as_u16();
                assert!(status == 200 || status == 204, "{case}: {status}");
                assert_eq!(answer.status(), StatusCode::OK, "{case}");
                assert_eq!(text(answer).await, "", "{case}");
                assert!(unknown == 404 || unknown == 503, "{case}: {unknown}");
            };
            join(waiting, ending).await;
            assert_eq!(other.status(Some(&beyond)).await, 404, "{case}");
            assert_eq!(event_source(&other, &last).await, StatusCode::NO_CONTENT, "{case}");
        }
    }
}

/// Unless `is_read` is set, only a handle refers to the mirror.
#[tokio::test(start_paused = true)]
async fn client_that_is_ahead_shares_the_mirror_of_one_that_is_not() {
    for is_read in [false, true] {
        let (one, other, source) = started(&["a"]).await;
        sleep(Duration::from_secs(5)).await;
        let run = other.get().await.unwrap();
        let live = if is_read { run.attach(None).await } else { None };
        // By then, the owner no longer counts the run as watched because of the first check.
        sleep(LEASE).await;
        one.store.faults().reply_delay = Duration::from_millis(50);
        send(&source, &["b"]);
        let mut own = one.attach().await;
        read(&mut own, 2).await;
        let id = one.id(2);
        let answer = within(Duration::from_millis(300), other.answer(Some(&id))).await;
        assert_eq!(other.runs.stats().mirrors, 1, "{is_read}");
        finish(source, &["c"]);
        assert_eq!(text(answer).await, format!("data: c\nid: {}-3\n\n", one.epoch()));
        if let Some(live) = live {
            assert_whole(live, &["a", "b", "c"]).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn thousand_forged_ids_cost_one_mirror_and_sixteen_tasks_that_wait() {
    for is_read in [false, true] {
        let (one, other, source) = started(&["a", "b"]).await;
        sleep(Duration::from_secs(5)).await;
        let live = if is_read { Some(other.attach().await) } else { None };
        let ask = |sequence| {
            let (runs, request) = (other.runs.clone(), request(Some(&one.id(sequence))));
            tokio::spawn(async move { runs.answer(&KEY, &request).await.unwrap().status() })
        };
        let tasks: Vec<_> = (3..1_003).rev().map(ask).collect();
        sleep(Duration::from_millis(500)).await;
        let waiting = tasks.iter().filter(|task| !task.is_finished()).count();
        assert_eq!((waiting, other.runs.stats().mirrors), (16, 1), "{is_read}");
        assert_eq!(other.store.count("subscribe"), 1);
        assert!(other.store.count("load") <= 2, "{}", other.store.count("load"));
        assert!(other.store.count("check") <= 18, "{}", other.store.count("check"));
        for task in tasks {
            assert_eq!(soon(task).await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
        }
        // A client whose id was assigned still gets the rest of the run.
        let answer = other.answer(Some(&one.id(1))).await;
        finish(source, &["c"]);
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
    assert_eq!(other.store.count("subscribe"), 2);
    finish(source, &["last"]);
    for (sequence, answer) in live {
        let text = text(answer).await;
        assert_eq!(text.matches("data: ").count() as u64, EVENTS - sequence + 1, "{sequence}");
        assert!(text.contains("data: last\n"), "{sequence}");
    }
}
