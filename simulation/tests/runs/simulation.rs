use super::scheduler::Scheduler;
use crate::*;

#[test]
fn no_seed_breaks_a_promise_of_runs() {
    check_seeds(1_000, &["whole", "told", "not found"], simulate);
}

#[test]
fn no_seed_breaks_a_promise_of_runs_in_a_cluster() {
    check_seeds(1_000, &["whole", "told", "not found"], simulate_cluster);
}

#[test]
fn same_seed_gives_the_same_log() {
    check_repeatable(50, simulate);
    check_repeatable(50, simulate_cluster);
}

/// Runs the simulation of a seed. Nothing else influences it.
fn simulate(seed: u64, log: &Log) -> Verdict {
    let runtime = runtime(seed);
    let history = if crowd::has_crowd(seed) {
        runtime.block_on(crowd::run(seed, log.clone()))
    } else {
        runtime.block_on(run(seed, log.clone(), false))
    };
    drop(runtime);
    oracle::check(history)
}

/// Runs the simulation of a seed, over a cluster whose slot moves.
fn simulate_cluster(seed: u64, log: &Log) -> Verdict {
    let runtime = runtime(seed);
    let history = runtime.block_on(run(seed, log.clone(), true));
    drop(runtime);
    oracle::check(history)
}

async fn run(seed: u64, log: Log, is_cluster: bool) -> History {
    let mut rng = Rng::with_seed(seed);
    let latency = [0, 1, 1, 5][rng.usize(..4)];
    let network = Network::new(rng.fork(), PROCESSES, latency, log);
    if is_cluster {
        network.form_cluster(PROCESSES - 1);
    }
    serve_this_thread(&network);
    tower_sse::simulation::set_host(Machines::new());
    Scheduler::new(rng, &network).run().await
}
