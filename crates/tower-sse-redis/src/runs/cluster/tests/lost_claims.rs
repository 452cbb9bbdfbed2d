//! Claims that the store loses between the calls of one request.

use super::*;

/// The time of each call of the store.
const DELAY: Duration = Duration::from_millis(100);

/// Sends requests until the answer is not a refusal.
async fn ask(process: &Process, last: Option<&LastEventId>, case: &str) {
    let asking = async {
        loop {
            let answer = process.runs.answer(&key(), &request(last)).await;
            match answer.map(|answer| answer.status()) {
                Some(StatusCode::SERVICE_UNAVAILABLE) => sleep(DELAY).await,
                status => return status,
            }
        }
    };
    assert_eq!(soon(asking).await, Some(StatusCode::OK), "{case}");
}

/// What the store has for the key after its older state was restored.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rest {
    Nothing,
    /// An earlier run with the key, which has failed.
    EarlierRun,
}

/// Loses the claim `moment` milliseconds after a request was sent. The owner reconnects a second
/// after the loss.
async fn loss_at(rest: Rest, ends: bool, seen: Option<u64>, moment: u64) {
    let case = format!("{rest:?}, ends: {ends}, {seen:?}, {moment} ms");
    let (one, other) = two().await;
    if rest == Rest::EarlierRun {
        one.start().await.unwrap().send(Err("failed")).unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    let older = one.store.server().clone();
    let source = one.start().await.unwrap();
    send(&source, &["a", "b"]);
    sleep(Duration::from_secs(2)).await;
    let mut source = Some(source);
    if ends {
        source = None;
        sleep(Duration::from_secs(1)).await;
    }
    let last = seen.map(|seen| one.id(seen));
    other.store.faults().delay = DELAY;
    let losing = async {
        sleep(Duration::from_millis(moment)).await;
        one.store.go_away();
        one.store.restore(&older);
        sleep(Duration::from_secs(1)).await;
        one.store.come_back();
    };
    tokio::join!(ask(&other, last.as_ref(), &case), losing);
    other.store.faults().delay = Duration::ZERO;
    assert_eq!(other.outcomes(), [], "{case}");
    drop(source);
    sleep(Duration::from_secs(5)).await;
    assert_whole(other.attach().await, &["a", "b"]).await;
}

/// The owner of the run restores the claim.
#[tokio::test(start_paused = true)]
async fn run_whose_claim_vanishes_during_a_request_is_not_unknown() {
    for rest in [Rest::Nothing, Rest::EarlierRun] {
        for ends in [false, true] {
            for seen in [Some(0), Some(1), Some(2)] {
                for moment in [50, 150, 250, 350, 450] {
                    loss_at(rest, ends, seen, moment).await;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn first_visit_during_a_loss_gets_the_run_too() {
    for ends in [false, true] {
        for moment in [50, 150, 250, 350, 450] {
            loss_at(Rest::Nothing, ends, None, moment).await;
        }
    }
}

/// If a check reported that the claim has another run, the mirror would tell its clients that their
/// run was interrupted.
#[tokio::test(start_paused = true)]
async fn client_reads_on_while_the_store_has_an_earlier_run() {
    let (one, other) = two().await;
    one.start().await.unwrap().send(Err("failed")).unwrap();
    sleep(Duration::from_secs(1)).await;
    let older = one.store.server().clone();
    let source = one.start().await.unwrap();
    send(&source, &["a"]);
    let mut live = other.attach().await;
    read(&mut live, 1).await;
    one.store.go_away();
    one.store.restore(&older);
    // Waits for longer than the interval of the checks.
    sleep(LEASE / 2).await;
    one.store.come_back();
    send(&source, &["b"]);
    drop(source);
    assert_whole(live, &["b"]).await;
}
