//! The statistics of all runs.

use crate::*;

#[tokio::test(start_paused = true)]
async fn figures_are_zero_before_the_first_run_and_count_all_later() {
    let runs = Runs::builder().max_running(2).build();
    assert_eq!(runs.stats(), RunsStats::default());

    let key = |n| RunKey::new("user", format!("turn:{n}")).unwrap();
    for n in 0..3 {
        runs.start(&key(n), None, || stream::iter(["a", "b"].map(Event::from))).await.unwrap();
        settle().await;
    }
    let mut attached = Vec::new();
    for n in 3..5 {
        let run = runs.start(&key(n), None, stream::pending::<Event>).await.unwrap();
        attached.push(run.attach(None).await.unwrap());
    }
    for n in 5..7 {
        assert!(runs.start(&key(n), None, stream::pending::<Event>).await.is_err());
    }
    let stats = runs.stats();
    assert_eq!((stats.running, stats.kept, stats.attached), (2, 3, 2));
    assert_eq!((stats.started, stats.refused, stats.lagged, stats.events), (5, 2, 0, 6));
    assert_eq!(ended_as(&stats, Outcome::Completed), 3);
    let ended = stats.ended_by_outcome().filter(|(_, runs)| *runs > 0);
    assert_eq!(ended.collect::<Vec<_>>(), [(Outcome::Completed, 3)]);
    assert!(stats.memory > 0 && stats.bytes > 6);
    let text = stats.prometheus().to_string();
    for line in [
        "# TYPE sse_runs_running gauge\nsse_runs_running 2\n",
        "# TYPE sse_runs_refused_total counter\nsse_runs_refused_total 2\n",
        "\nsse_runs_ended_total{outcome=\"completed\"} 3\n",
        "\nsse_runs_ended_total{outcome=\"failed\"} 0\n",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}
