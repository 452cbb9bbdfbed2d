use crate::*;

#[test]
fn no_seed_breaks_a_guarantee() {
    check_seeds(1_000, &["delivered", "gaps", "reported"], simulate);
}

#[test]
fn same_seed_gives_the_same_log() {
    check_repeatable(100, simulate);
}

async fn simulate(seed: u64, log: Log) -> Verdict {
    let mut rng = Rng::with_seed(seed);
    let hubs = rng.usize(3..6);
    let latency = [0, 1, 3, 20][rng.usize(..4)];
    let network = Network::new(rng.fork(), hubs, latency, log);
    serve_this_thread(&network);
    let (history, failures) = Hubs::new(rng, network, hubs).run().await;
    let mut verdict = oracle::check(&history);
    verdict.faults.extend(failures);
    verdict
}
