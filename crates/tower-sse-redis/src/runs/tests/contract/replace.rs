//! Claiming a key in place of an earlier run.

use super::*;

scenes!(Scene:
    live_run_is_cancelled_and_its_owner_is_told,
    run_that_is_not_the_earlier_one_stays,
    replacement_whose_reply_was_lost_can_be_repeated,
    run_that_ended_keeps_its_outcome_and_its_owner_is_told,
    only_the_stream_of_a_replaced_run_can_be_discarded,
    replaced_run_stays_over_when_its_successor_is_voided,
);

async fn live_run_is_cancelled_and_its_owner_is_told(scene: Scene) {
    scene.begin("a1").await;
    scene.append("a1", 1, 3).await;
    scene.subscribe("q", "a1").await;
    assert_eq!(scene.replace("a1", "a2", "q").await, "claimed");
    assert_eq!(scene.stream("a1").await, ["head", "1 3", "cancelled 3"]);
    assert_eq!(scene.sync("a1", "p", Sync::default()).await, "replaced cancelled");
    assert_eq!(scene.look().await, "live a2 of q");
    assert_eq!(scene.received("p").await, "replaced a1");
    assert_eq!(scene.received("q").await, "end cancelled 3");
}

async fn run_that_is_not_the_earlier_one_stays(scene: Scene) {
    assert_eq!(scene.replace("a1", "a2", "q").await, "changed", "no run");
    scene.begin("b1").await;
    assert_eq!(scene.replace("a1", "a2", "q").await, "changed");
    assert_eq!(scene.look().await, "live b1 of p");
}

async fn replacement_whose_reply_was_lost_can_be_repeated(scene: Scene) {
    scene.begin("a1").await;
    assert_eq!(scene.replace("a1", "a2", "q").await, "claimed");
    assert_eq!(scene.replace("a1", "a2", "q").await, "claimed");
    assert_eq!(scene.look().await, "live a2 of q");
}

async fn run_that_ended_keeps_its_outcome_and_its_owner_is_told(scene: Scene) {
    scene.begin("a1").await;
    assert_eq!(scene.complete("a1", 0).await, "ended completed 0");
    assert_eq!(scene.replace("a1", "a2", "q").await, "claimed");
    let reply = scene.sync("a1", "p", Sync::default()).await;
    assert_eq!(reply, "replaced completed, reported");
    assert_eq!(scene.received("p").await, "replaced a1");
}

async fn only_the_stream_of_a_replaced_run_can_be_discarded(scene: Scene) {
    scene.begin("a1").await;
    scene.append("a1", 1, 1).await;
    assert_eq!(scene.complete("a1", 1).await, "ended completed 1");
    assert_eq!(scene.end("a1", "p", EndMode::Discard).await, "running");
    assert_eq!(scene.stream("a1").await, ["head", "1 1", "completed 1"]);
    assert_eq!(scene.replace("a1", "a2", "q").await, "claimed");
    assert_eq!(scene.end("a1", "p", EndMode::Discard).await, "freed");
    assert!(scene.stream("a1").await.is_empty());
    assert_eq!(scene.look().await, "live a2 of q");
}

/// The reply to its replacement was lost. Its owner finds no run in its place.
async fn replaced_run_stays_over_when_its_successor_is_voided(scene: Scene) {
    scene.begin("a1").await;
    assert_eq!(scene.replace("a1", "a2", "q").await, "claimed");
    assert_eq!(scene.end("a2", "q", EndMode::Void).await, "freed");
    assert_eq!(scene.sync("a1", "p", RESTORE).await, "replaced cancelled");
    assert_eq!(scene.look().await, "free");
}

// What becomes of runs that were replaced, which no request can find any more.

/// The number of turns. Together, they have more events than the memory has room for.
const TURNS: usize = 8;
/// The number of events of each answer, each of a kilobyte.
const EVENTS: usize = 200;

scenes!(Pair:
    replaced_runs_displace_no_kept_answer,
    runs_that_other_processes_replace_displace_no_kept_answer,
    failed_runs_that_were_started_again_displace_no_kept_answer,
);

fn small() -> RunsBuilder {
    Runs::builder().max_memory(1 << 20).retention(Retention::new().bytes(256 << 10))
}

fn kept() -> RunKey {
    RunKey::new("ann", "chat").unwrap()
}

fn text() -> String {
    "x".repeat(1_000)
}

/// Starts two processes with little memory. The first one has a complete answer.
async fn small_pair(pair: Pair) -> Pair {
    let one = Program::connect(&pair.world, small()).await;
    let other = Program::connect(&pair.world, small()).await;
    let source = || stream::iter((0..EVENTS).map(|_| Event::from(text())));
    let run = one.runs.start(&kept(), None, source).await.unwrap();
    assert_eq!(run.ended().await, Some(Outcome::Completed));
    let pair = Pair { world: pair.world, one, other };
    assert_kept(&pair.other).await;
    pair
}

async fn assert_kept(program: &Program<Wire>) {
    let answer = soon(program.runs.get(&kept())).await.expect("the kept run");
    let answer = soon(answer.attach(None)).await.expect("its events");
    assert_whole(answer, &[text().as_str(); EVENTS]).await;
}

/// Each turn is replaced while clients of both processes read it, and the clients leave.
async fn replaced_runs_displace_no_kept_answer(pair: Pair) {
    let pair = small_pair(pair).await;
    let (mut sources, mut earlier) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let source = pair.one.replace().await;
        for client in earlier.drain(..) {
            assert_fails(client, &[], Outcome::Cancelled).await;
        }
        let memory = pair.one.runs.stats().memory;
        assert!(memory < 2 * EVENTS * 1_100, "{memory} bytes of one answer");
        let text = text();
        send(&source, &[text.as_str(); EVENTS]);
        for program in [&pair.one, &pair.other] {
            let mut client = program.attach().await;
            read(&mut client, EVENTS).await;
            earlier.push(client);
        }
        sources.push(source);
    }
    assert_kept(&pair.one).await;
    assert_kept(&pair.other).await;
}

/// Each turn completes, and the next one belongs to the other process.
async fn runs_that_other_processes_replace_displace_no_kept_answer(pair: Pair) {
    let pair = small_pair(pair).await;
    let text = text();
    for turn in 0..2 * TURNS {
        let (owner, next) =
            if turn % 2 == 0 { (&pair.one, &pair.other) } else { (&pair.other, &pair.one) };
        let source = owner.replace().await;
        send(&source, &[text.as_str(); EVENTS]);
        drop(source);
        assert_whole(next.attach().await, &[text.as_str(); EVENTS]).await;
    }
    assert_kept(&pair.one).await;
    assert_kept(&pair.other).await;
}

/// Each turn fails, and the other process starts it again.
async fn failed_runs_that_were_started_again_displace_no_kept_answer(pair: Pair) {
    let pair = small_pair(pair).await;
    let text = text();
    for turn in 0..2 * TURNS {
        let (owner, next) =
            if turn % 2 == 0 { (&pair.one, &pair.other) } else { (&pair.other, &pair.one) };
        let source = owner.start().await.expect("a free key");
        let client = next.attach().await;
        send(&source, &[text.as_str(); EVENTS]);
        source.send(Err("broken")).unwrap();
        assert_fails(client, &[text.as_str(); EVENTS], Outcome::Failed).await;
    }
    assert_kept(&pair.one).await;
    assert_kept(&pair.other).await;
}

async fn is_gone(pair: &Pair, stream: &str) {
    let exists = format!("EXISTS {stream}");
    until_async(async || pair.world.server.command::<u32>(&exists).await == 0).await;
}

/// Long before the time is over for which runs are kept.
#[tokio::test]
async fn owner_deletes_its_replaced_runs_after_two_leases() {
    let Some(pair) = Pair::start().await else { return };
    for ends in [false, true] {
        for (owner, next) in [(&pair.one, &pair.one), (&pair.one, &pair.other)] {
            let source = owner.replace().await;
            send(&source, &["a"]);
            assert_eq!(read(&mut next.attach().await, 1).await, ["a"]);
            let id = owner.id(1).await;
            let source = Some(source).filter(|_| !ends);
            if ends {
                assert_whole(next.attach().await, &["a"]).await;
            }
            let replacement = next.replace().await;
            is_gone(&pair, &format!("app:run:{{user:turn}}:{}", run_of(&id).epoch)).await;
            drop((source, replacement));
        }
    }
}
