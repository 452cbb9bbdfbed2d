//! When the runs that have ended are forgotten.

use crate::*;

const DAY: Duration = Duration::from_secs(86_400);

async fn complete(runs: &Runs, n: usize) {
    let key = RunKey::new("user", format!("turn:{n}")).unwrap();
    let run = runs.start(&key, None, || stream::iter([Event::from("x")])).await.unwrap();
    run.ended().await;
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn run_is_forgotten_after_more_than_a_year() {
    let runs = Runs::builder().retain_for(400 * DAY).build();
    complete(&runs, 0).await;
    advance(399 * DAY).await;
    settle().await;
    assert_eq!(runs.stats().kept, 1);
    advance(2 * DAY).await;
    settle().await;
    assert_eq!(runs.stats().kept, 0);
}

#[tokio::test(start_paused = true)]
async fn one_task_forgets_all_runs_and_ends_after_the_last() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let runs = Runs::new();
    for round in 0..2 {
        assert_eq!(tasks(), 0, "round {round}");
        for n in 0..10 {
            complete(&runs, n + 10 * round).await;
        }
        assert_eq!((tasks(), runs.stats().kept), (1, 10), "round {round}");
        advance(Duration::from_secs(301)).await;
        settle().await;
        assert_eq!(runs.stats().kept, 0, "round {round}");
    }
}

/// The waiting client is polled only after the answer is complete and forgotten.
#[tokio::test(start_paused = true)]
async fn client_that_waits_gets_an_answer_that_is_forgotten_meanwhile() {
    for events in [&["a"][..], &[]] {
        let rig = Rig::new(Runs::builder().retain_for(Duration::ZERO).build());
        let first = rig.call(post()).await;
        let service = rig.layer.layer(rig.runs.layer(key).layer(rig.handler.service()));
        let mut waiting = Box::pin(service.oneshot(post()));
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        let feed = rig.handler.stream();
        events.iter().for_each(|data| feed.data(format!("data: {data}\n\n")));
        feed.end();
        settle().await;
        assert!(rig.runs.get(&turn()).await.is_none());
        let expected = [events, &["[DONE]"]].concat();
        assert_eq!(first.client().await.read().await, expected);
        let answer = waiting.now_or_never().expect("an answer").unwrap();
        assert_eq!(Client::new(answer).read().await, expected);
        assert_eq!(rig.handler.calls(), 1);
    }
}

/// The runtime that ends a run may never be driven again, so runs must be forgotten without that
/// runtime.
#[test]
fn runs_are_forgotten_although_a_runtime_that_ended_one_is_not_driven() {
    let driven = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let idle = Builder::new_current_thread().enable_all().build().unwrap();
    let runs = Runs::builder().retain_for(Duration::from_millis(50)).build();
    let start = || driven.block_on(runs.start(&turn(), None, stream::pending::<Event>)).unwrap();
    let is_forgotten = || driven.block_on(until(|| runs.stats().kept == 0));
    start();
    assert!(idle.block_on(runs.cancel(&turn(), None)));
    is_forgotten();
    // The same holds if that runtime has had a run of its own before.
    idle.block_on(complete(&runs, 0));
    start();
    assert!(idle.block_on(runs.cancel(&turn(), None)));
    is_forgotten();
}
