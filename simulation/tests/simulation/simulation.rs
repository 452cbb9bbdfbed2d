use tokio::runtime::{Builder, RngSeed, Runtime};

use crate::{
    log::Log,
    oracle::{self, Verdict},
    redis::Network,
    scheduler::Scheduler,
};

/// Runs the simulation of a seed. Nothing else influences it.
pub(crate) fn simulate(seed: u64, log: &Log) -> Verdict {
    let runtime = runtime(seed);
    let log = log.clone();
    let (history, failures) = runtime.block_on(run(seed, log));
    drop(runtime);
    let mut verdict = oracle::check(&history);
    verdict.faults.extend(failures);
    verdict
}

/// Returns a runtime in which everything random takes its values from this seed.
pub(crate) fn runtime(seed: u64) -> Runtime {
    // For the delays with which hubs reconnect.
    fastrand::seed(seed);
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .rng_seed(RngSeed::from_bytes(&seed.to_le_bytes()))
        .build()
        .unwrap()
}

/// Lets the hubs of this thread open their connections to the servers of a network.
pub(crate) fn dial(network: &Network) {
    let network = network.clone();
    tower_sse::redis::set_dialer(move |host| Box::pin(network.clone().dial(host.to_owned())));
}

async fn run(seed: u64, log: Log) -> (oracle::History, Vec<String>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let hubs = rng.usize(3..6);
    let latency = [0, 1, 3, 20][rng.usize(..4)];
    let network = Network::new(rng.fork(), hubs, latency, log);
    dial(&network);
    Scheduler::new(rng, &network, hubs).run().await
}
