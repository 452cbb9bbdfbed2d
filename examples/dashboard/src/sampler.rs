use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use sysinfo::{Disk, Disks, NetworkData, Networks, System};
use tower_sse::stats::Stats;

use super::streams::Streams;

/// A sample of this host and its streams. Sizes are in bytes, rates in bytes per second since the
/// previous sample.
#[derive(Debug, Serialize)]
pub(super) struct Sample {
    /// The number of the sample, counted from one. The page detects missing and duplicate samples
    /// by it.
    number: u64,
    /// Per cent of all cores.
    cpu: f32,
    cores: usize,
    memory: Memory,
    disk: Storage,
    network: Traffic,
    streams: Streams,
    /// Milliseconds since 1970.
    time: u64,
    /// The start time of the server. Numbers of different starts must not be mixed.
    started: u64,
}

#[derive(Debug, Serialize)]
struct Memory {
    used: u64,
    total: u64,
}

#[derive(Debug, Serialize)]
struct Storage {
    free: u64,
    total: u64,
    read: u64,
    written: u64,
}

#[derive(Debug, Serialize)]
struct Traffic {
    received: u64,
    sent: u64,
}

/// The counters of the system, kept because rates are differences.
pub(super) struct Sampler {
    system: System,
    networks: Networks,
    disks: Vec<Disk>,
    stats: Stats,
    refreshed: Instant,
    taken: u64,
    started: u64,
}

impl Sampler {
    pub(super) fn new(stats: Stats) -> Self {
        let mut disks = Vec::from(Disks::new_with_refreshed_list());
        // Count a device that is mounted at several places once.
        disks.sort_by(|a, b| a.name().cmp(b.name()));
        disks.dedup_by(|a, b| a.name() == b.name());
        let networks = Networks::new_with_refreshed_list();
        let mut sampler = Self {
            system: System::new(),
            networks,
            disks,
            stats,
            refreshed: Instant::now(),
            taken: 0,
            started: now(),
        };
        sampler.refresh();
        sampler
    }

    pub(super) fn sample(&mut self) -> Sample {
        let elapsed = self.refresh();
        self.taken += 1;
        let Self { system, networks, disks, stats, taken, started, .. } = self;
        let rate = |bytes: u64| (bytes as f64 / elapsed.as_secs_f64()) as u64;
        Sample {
            number: *taken,
            cpu: (system.global_cpu_usage() * 10.0).round() / 10.0,
            cores: system.cpus().len(),
            memory: Memory { used: system.used_memory(), total: system.total_memory() },
            disk: Storage {
                free: disks.iter().map(Disk::available_space).sum(),
                total: disks.iter().map(Disk::total_space).sum(),
                read: rate(disks.iter().map(|disk| disk.usage().read_bytes).sum()),
                written: rate(disks.iter().map(|disk| disk.usage().written_bytes).sum()),
            },
            network: Traffic {
                received: rate(networks.values().map(NetworkData::received).sum()),
                sent: rate(networks.values().map(NetworkData::transmitted).sum()),
            },
            streams: Streams::of(stats),
            time: now(),
            started: *started,
        }
    }

    /// Refreshes the counters and returns the time since the last refresh.
    fn refresh(&mut self) -> Duration {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        self.networks.refresh(true);
        for disk in &mut self.disks {
            disk.refresh();
        }
        let elapsed = self.refreshed.elapsed();
        self.refreshed = Instant::now();
        elapsed
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
