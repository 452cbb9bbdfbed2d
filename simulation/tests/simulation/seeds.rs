use std::{
    env,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
};

use crate::{log::Log, oracle::Verdict, simulation::simulate};

/// Simulates as many seeds as `TOWER_SSE_SEEDS` says, or the one that `TOWER_SSE_SEED` names, and
/// then prints its log.
#[test]
fn no_seed_breaks_a_guarantee() {
    if let Some(seed) = variable("TOWER_SSE_SEED") {
        let log = Log::new(true);
        let verdict = simulate(seed, &log);
        println!("{}", log.take().join("\n"));
        assert!(verdict.faults.is_empty(), "seed {seed}:\n{}", verdict.faults.join("\n"));
        return;
    }
    let first = variable("TOWER_SSE_FIRST_SEED").unwrap_or(0);
    let seeds = variable("TOWER_SSE_SEEDS").unwrap_or(2_000);
    let next = AtomicU64::new(first);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let found = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| simulate_while(|| next.fetch_add(1, Relaxed), first + seeds)))
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).fold(Found::default(), Found::add)
    });
    let Found { mut red, acknowledged, deliveries, gaps, reported, excused, overtaken, ahead } =
        found;
    println!(
        "{seeds} seeds: {acknowledged} events acknowledged, {deliveries} deliveries, {gaps} gaps, \
         {reported} losses reported, {excused} excused, {overtaken} overtaken, {ahead} ahead, {} red",
        red.len()
    );
    assert!(deliveries > 0 && gaps > 0 && reported > 0, "nothing happened");
    red.sort_unstable();
    let lines: Vec<_> = red.iter().map(|(seed, fault)| format!("seed {seed}: {fault}")).collect();
    assert!(red.is_empty(), "replay with TOWER_SSE_SEED:\n{}", lines.join("\n"));
}

fn variable(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[derive(Default)]
struct Found {
    /// The seeds that break a guarantee, each with its first fault.
    red: Vec<(u64, String)>,
    acknowledged: usize,
    deliveries: usize,
    gaps: usize,
    reported: usize,
    excused: usize,
    overtaken: usize,
    ahead: usize,
}

impl Found {
    fn record(&mut self, seed: u64, verdict: Verdict) {
        let Verdict { acknowledged, deliveries, gaps, reported, excused, overtaken, ahead, faults } =
            verdict;
        self.red.extend(faults.into_iter().next().map(|fault| (seed, fault)));
        self.acknowledged += acknowledged;
        self.deliveries += deliveries;
        self.gaps += gaps;
        self.reported += reported;
        self.excused += excused;
        self.overtaken += overtaken;
        self.ahead += ahead;
    }

    fn add(mut self, other: Self) -> Self {
        self.red.extend(other.red);
        self.acknowledged += other.acknowledged;
        self.deliveries += other.deliveries;
        self.gaps += other.gaps;
        self.reported += other.reported;
        self.excused += other.excused;
        self.overtaken += other.overtaken;
        self.ahead += other.ahead;
        self
    }
}

fn simulate_while(next: impl Fn() -> u64, end: u64) -> Found {
    let mut found = Found::default();
    loop {
        let seed = next();
        if seed >= end {
            return found;
        }
        found.record(seed, simulate(seed, &Log::new(false)));
    }
}

#[test]
fn the_same_seed_gives_the_same_log() {
    for seed in 0..50 {
        let [one, other] = [(); 2].map(|()| {
            let log = Log::new(true);
            simulate(seed, &log);
            log.take()
        });
        assert!(one.len() > 100, "seed {seed}: nothing happened");
        let difference = one.iter().zip(&other).position(|(one, other)| one != other);
        if let Some(line) = difference {
            panic!("seed {seed} differs at line {line}:\n{}\n{}", one[line], other[line]);
        }
        assert_eq!(one.len(), other.len(), "seed {seed}");
    }
}
