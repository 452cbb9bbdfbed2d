use std::path::Path;

use super::*;

pub(crate) const PROCESSES: usize = 3;
/// A short lease, so that tests of a death take seconds.
pub(crate) const LEASE: Duration = Duration::from_secs(3);
/// How long a run of a dead process lasts at most: the lease and a quarter of the lease.
pub(crate) const DEATH: Duration = Duration::from_millis(3_000 + 750);

/// Three processes that share their runs over one Redis server.
pub(crate) struct Cluster {
    pub(crate) redis: Server,
    pub(crate) processes: Vec<Process>,
    calls: PathBuf,
}

impl Cluster {
    /// Starts a cluster. Returns `None` if `redis-server` is not installed.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_on(Server::start().await?, LEASE).await
    }

    pub(crate) async fn start_on(redis: Server, lease: Duration) -> Option<Self> {
        let calls = redis.directory().join("calls");
        fs::create_dir_all(&calls).unwrap();
        let mut processes = Vec::new();
        for _ in 0..PROCESSES {
            processes.push(process::start(&redis.url(), "app", lease, &calls).await);
        }
        Some(Self { redis, processes, calls })
    }

    pub(crate) fn address(&self, at: usize) -> SocketAddr {
        self.processes[at].address
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.processes.iter().map(|process| process.address).collect()
    }

    pub(crate) fn calls(&self, name: &str) -> usize {
        calls(&self.calls, name)
    }
}

pub(crate) fn calls(directory: &Path, name: &str) -> usize {
    fs::read(directory.join(name)).map_or(0, |calls| calls.len() / "call\n".len())
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !thread::panicking() {
            assert_no_eternal_keys(&self.redis);
        }
    }
}
