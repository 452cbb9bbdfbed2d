use tokio::runtime::{Builder, RngSeed};

use crate::{
    gate::Machines,
    log::Log,
    oracle::{self, History, Verdict},
    redis::Network,
    scheduler::{PROCESSES, Scheduler},
};

/// Runs the simulation of a seed. Nothing else influences it.
pub(crate) fn simulate(seed: u64, log: &Log) -> Verdict {
    // For the delays with which processes reconnect, and for epochs.
    fastrand::seed(seed);
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .rng_seed(RngSeed::from_bytes(&seed.to_le_bytes()))
        .build()
        .unwrap();
    let log = log.clone();
    let history = runtime.block_on(run(seed, log));
    drop(runtime);
    oracle::check(history)
}

async fn run(seed: u64, log: Log) -> History {
    let mut rng = fastrand::Rng::with_seed(seed);
    let latency = [0, 1, 1, 5][rng.usize(..4)];
    let network = Network::new(rng.fork(), PROCESSES, latency, log);
    let dialed = network.clone();
    tower_sse::redis::set_dialer(move |host| Box::pin(dialed.clone().dial(host.to_owned())));
    tower_sse::simulation::set_host(Machines::new());
    Scheduler::new(rng, &network).run().await
}
