//! The service as a process, with the documented shutdown.

use std::path::Path;

use super::*;

/// Long, because an answer that takes a second takes several seconds on a busy machine.
const GRACE: Duration = PATIENCE;

/// The task is the URLs of Redis, the prefix of the runs, the milliseconds of the lease, and the
/// directory of the calls.
#[test]
#[ignore = "the process of the other tests"]
fn serves_until_sigterm() {
    let Some(task) = Process::task() else { return };
    let task: Vec<_> = task.split(' ').collect();
    let [urls, prefix, lease, calls] = task[..] else { panic!("{task:?}") };
    let lease = Duration::from_millis(lease.parse().unwrap());
    Runtime::new().unwrap().block_on(async {
        let redis = Redis::open_any(urls.split(',')).unwrap().runs(prefix).lease(lease);
        let limits = Runs::builder().retain_bytes(8 << 20).max_memory(1 << 40);
        let limits = limits.max_running(100_000).max_running_per_owner(100_000);
        let runs = limits.connect(redis).await.unwrap();
        let (listener, _) = listen().await;
        let shutdown = CancellationToken::new();
        let app = Service::new(runs.clone(), PathBuf::from(calls)).app(shutdown.clone());
        sigterm::serve(listener, app, shutdown, runs.drain(GRACE)).await;
    });
}

/// Starts a process. Commas separate the URLs of Redis.
pub(crate) async fn start(urls: &str, prefix: &str, lease: Duration, calls: &Path) -> Process {
    let task = format!("{urls} {prefix} {} {}", lease.as_millis(), calls.display());
    Process::start("rig::process::serves_until_sigterm", task).await
}
