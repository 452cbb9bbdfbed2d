use super::scheduler::PROCESSES;
use crate::*;

#[test]
fn no_seed_breaks_a_promise_of_runs() {
    check_seeds(500, &["whole", "told", "not found"], simulate);
}

#[test]
fn no_seed_breaks_a_promise_of_runs_in_a_cluster() {
    check_seeds(500, &["whole", "told", "not found"], simulate_cluster);
}

#[test]
fn same_seed_gives_the_same_log() {
    check_repeatable(50, simulate);
    check_repeatable(50, simulate_cluster);
}

async fn simulate(seed: u64, log: Log) -> Verdict {
    // A crowd takes longer than other simulations, so only some seeds have one.
    if Rng::with_seed(!seed).u8(..16) == 0 {
        return oracle::check(&crowd::run(seed, log).await);
    }
    run(seed, log, false).await
}

/// Runs the simulation of a seed, over a cluster whose slot moves.
async fn simulate_cluster(seed: u64, log: Log) -> Verdict {
    run(seed, log, true).await
}

async fn run(seed: u64, log: Log, is_cluster: bool) -> Verdict {
    let mut rng = Rng::with_seed(seed);
    let latency = [0, 1, 1, 5][rng.usize(..4)];
    let network = Network::new(rng.fork(), PROCESSES, latency, log);
    if is_cluster {
        network.form_cluster(PROCESSES - 1);
    }
    oracle::check(&Cluster::new(rng, network).run().await)
}
