use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::{env, iter, thread};

use tokio::runtime::{Builder, RngSeed, Runtime};

use crate::{Log, Verdict};

/// Returns a runtime in which everything random takes its values from this seed.
#[must_use]
pub fn runtime(seed: u64) -> Runtime {
    // The delays with which processes reconnect, and the epochs, come from this generator.
    fastrand::seed(seed);
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .rng_seed(RngSeed::from_bytes(&seed.to_le_bytes()))
        .build()
        .unwrap()
}

/// Simulates as many seeds as `TOWER_SSE_SEEDS` says, by default `seeds`. All of `expected` must
/// happen in them. If `TOWER_SSE_SEED` names a seed, simulates only this one and prints its log.
///
/// # Panics
///
/// Panics if a seed has a fault, or if something expected has not happened.
pub fn check_seeds(
    seeds: u64,
    expected: &[&str],
    simulate: impl AsyncFn(u64, Log) -> Verdict + Copy + Send + Sync,
) {
    if let Some(seed) = variable("TOWER_SSE_SEED") {
        let log = Log::new(true);
        let verdict = runtime(seed).block_on(simulate(seed, log.clone()));
        println!("{}", log.take().join("\n"));
        assert!(verdict.faults.is_empty(), "seed {seed}:\n{}", verdict.faults.join("\n"));
        return;
    }
    let first = variable("TOWER_SSE_FIRST_SEED").unwrap_or(0);
    let seeds = variable("TOWER_SSE_SEEDS").unwrap_or(seeds);
    let next = AtomicU64::new(first);
    let work = || {
        let numbers = iter::repeat_with(|| next.fetch_add(1, Relaxed));
        let judge = |seed| (seed, runtime(seed).block_on(simulate(seed, Log::new(false))));
        numbers.take_while(|seed| *seed < first + seeds).map(judge).collect::<Vec<_>>()
    };
    let mut verdicts: Vec<_> = thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    verdicts.sort_unstable_by_key(|(seed, _)| *seed);
    let (mut found, mut red) = (Verdict::default(), Vec::new());
    for (seed, mut verdict) in verdicts {
        red.extend(verdict.faults.drain(..).next().map(|fault| format!("seed {seed}: {fault}")));
        found.add(verdict);
    }
    println!("{seeds} seeds: {found}, {} red", red.len());
    for what in expected {
        assert!(found.of(what) > 0, "nothing happened: {found}");
    }
    assert!(red.is_empty(), "replay with TOWER_SSE_SEED:\n{}", red.join("\n"));
}

fn variable(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// Checks that the same seed gives the same log of more than `lines` lines, for 50 seeds.
///
/// # Panics
///
/// Panics if two logs of a seed differ, or if a log has only `lines` lines or fewer.
pub fn check_repeatable(lines: usize, simulate: impl AsyncFn(u64, Log) -> Verdict) {
    for seed in 0..50 {
        let [one, other] = [(); 2].map(|()| {
            let log = Log::new(true);
            runtime(seed).block_on(simulate(seed, log.clone()));
            log.take()
        });
        assert!(one.len() > lines, "seed {seed}: nothing happened");
        let difference = one.iter().zip(&other).find(|(one, other)| one != other);
        assert_eq!((difference, one.len()), (None, other.len()), "seed {seed}");
    }
}
