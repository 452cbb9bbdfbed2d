use std::sync::{MutexGuard, OnceLock, Weak};

use tower_sse::runs::__private::{Connected, Options};
use tower_sse::runs::RunStore;
use tower_sse_broker::tasks::lock;
use tower_sse_redis_model::{Log, Network, Refusal};

use super::*;
use crate::runs::tests::{Counts, Faults, Store};
use crate::runs::{cluster::cluster::Cluster, store::RedisStore};
use crate::{Error, Health, Redis, set_dialer};

pub(super) const LEASE: Duration = Duration::from_secs(8);

/// The maximum number of processes of a test.
const PROCESSES: usize = 4;

/// One process's way to a model of Redis: the network, and faults that a test sets.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) network: Network,
    server: u64,
    process: usize,
    faults: Arc<Mutex<Faults>>,
    counts: Arc<Mutex<Counts>>,
    cluster: Arc<OnceLock<Weak<Cluster>>>,
    pub(super) health: Arc<OnceLock<Health>>,
}

impl Way {
    /// Starts a server, and lets this thread connect to it.
    fn new() -> Self {
        let server = fastrand::u64(..);
        let network = Network::new(fastrand::Rng::with_seed(0), PROCESSES, 0, Log::new(false));
        let (served, name) = (network.clone(), format!(".server-{server}"));
        set_dialer(move |host| {
            let process = host.strip_suffix(&name)?;
            Some(served.clone().dial(process.to_owned()))
        });
        let (faults, counts, cluster, health) = Default::default();
        Self { network, server, process: 0, faults, counts, cluster, health }
    }

    /// Returns the way of another process to the same server.
    pub(super) fn beside(&self, process: usize) -> Self {
        let (faults, cluster, health) = Default::default();
        Self { process, faults, cluster, health, ..self.clone() }
    }

    pub(super) async fn open(
        &self,
        id: ProcessId,
        retain_for: Duration,
        receive: Receive,
    ) -> Result<Store, Error> {
        let url = format!("redis://process-{}.server-{}/", self.process, self.server);
        let runs = Redis::open(&url)?.runs("app").lease(LEASE);
        _ = self.health.set(runs.health());
        let receive = Faults::pass(&self.faults, receive);
        let redis = RedisStore::open(runs, id, retain_for, receive).await?;
        Ok(Store { redis, faults: Arc::clone(&self.faults), counts: Arc::clone(&self.counts) })
    }

    /// Returns the faults of this process, to change them.
    ///
    /// Drop the guard before you await an operation on the store.
    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    /// Returns what all processes have asked of the store.
    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        lock(&self.counts)
    }

    /// Returns the processes' count of a kind, as in [`Counts::of`].
    pub(super) fn count(&self, kind: &str) -> usize {
        self.counts().of.get(kind).copied().unwrap_or(0)
    }

    pub(super) fn cluster(&self) -> Arc<Cluster> {
        self.cluster.get().and_then(Weak::upgrade).expect("connected runs")
    }

    /// Cuts this process off from the server.
    pub(super) fn go_away(&self) {
        self.network.shut_out(self.process);
    }

    /// Drops the packets of the connections that this process has now.
    pub(super) fn drop_packets(&self) {
        self.network.drop_packets(self.process);
    }

    /// Lets this process connect again, and waits until it has.
    pub(super) async fn come_back(&self) {
        self.network.admit(self.process);
        let mut connection = self.cluster().store.connection();
        // A connection that was just cut may not have noticed it yet.
        sleep(Duration::from_millis(1)).await;
        let is_up = |connection: &Connection| connection.is_some();
        _ = soon(connection.wait_for(is_up)).await.unwrap();
    }

    /// Cuts this process off from the server for this time.
    pub(super) async fn leave_for(&self, time: Duration) {
        self.go_away();
        sleep(time).await;
        self.come_back().await;
    }

    /// Loses all data, as a flush does.
    pub(super) fn lose_data(&self) {
        self.network.delete(|_| true);
    }

    /// Loses the list of the processes, as an eviction does.
    pub(super) fn lose_processes(&self) {
        self.network.delete(|name| name == "app:run:processes");
    }

    pub(super) fn lose_claims(&self) {
        self.network.delete(|name| name.ends_with('}'));
    }

    pub(super) fn lose_streams(&self) {
        self.network.delete(|name| name.contains("}:"));
    }

    /// Refuses a command for a time, as to a user without the permission.
    pub(super) fn forbid(&self, command: &'static str, time: Duration) {
        self.network.refuse(Refusal::NotPermitted(command), time.as_millis() as u64);
    }

    /// Stops the server for 10 ms, and meanwhile sends this process what no command has asked for.
    pub(super) fn send_unasked(&self, text: &'static str) {
        let process = self.process;
        self.network.pause(10);
        self.network.after(5, move |network| network.send_unasked(process, text.as_bytes()));
    }

    /// Replaces all data with the claims and streams of the snapshot. All other keys are deleted.
    pub(super) fn put_back(&self) {
        self.network.put_back(|name| name.contains('}'));
    }

    /// Sends a command with the claim of a key. Returns the text of the reply.
    pub(super) fn claim(&self, command: &str, key: &RunKey, arguments: &[&str]) -> String {
        let claim = format!("app:run:{{user:{}}}", key.name());
        self.network.command(&[&[command, &claim], arguments].concat()).unwrap()
    }

    /// Sends a command with the stream of a run. Returns the text of the reply.
    pub(super) fn stream(&self, command: &str, run: &RunId, arguments: &[&str]) -> String {
        let stream = format!("app:run:{{user:{}}}:{}", run.key.name(), run.epoch);
        self.network.command(&[&[command, &stream], arguments].concat()).unwrap()
    }

    pub(super) fn has_claim(&self, key: &RunKey) -> bool {
        self.claim("EXISTS", key, &[]) == ":1"
    }

    /// Returns whether the run that has the key is live.
    pub(super) fn is_live(&self, key: &RunKey) -> bool {
        matches!(&*self.claim("HGET", key, &["s"]), "starting" | "running")
    }
}

impl RunStore for Way {
    type Error = Error;

    async fn connect(self, options: Options) -> Result<Connected, Error> {
        let retain_for = options.retain_for;
        let open = |id, receive| self.open(id, retain_for, receive);
        let cluster = Cluster::connect(options, open).await?;
        _ = self.cluster.set(Arc::downgrade(&cluster));
        Ok((Arc::clone(&cluster.process), cluster))
    }
}

/// Creates a process that is alone at its server.
pub(super) async fn alone(options: impl FnOnce(RunsBuilder) -> RunsBuilder) -> Process {
    Process::at(Way::new(), options).await
}

/// Creates two processes, and starts a run of the first one with these events.
pub(super) async fn started(texts: &[&str]) -> (Process, Process, Source) {
    let (one, other) = two().await;
    let source = one.start().await.unwrap();
    send(&source, texts);
    (one, other, source)
}

/// Does the same as [`started`], and attaches a client at the other process, which reads the
/// events.
pub(super) async fn watched(texts: &[&str]) -> (Process, Process, Source, Attachment) {
    watched_with(texts, |builder| builder).await
}

pub(super) async fn watched_with(
    texts: &[&str],
    options: impl Fn(RunsBuilder) -> RunsBuilder,
) -> (Process, Process, Source, Attachment) {
    let (one, other) = two_with(options).await;
    let source = one.start().await.unwrap();
    send(&source, texts);
    let mut live = other.attach().await;
    read(&mut live, texts.len()).await;
    (one, other, source, live)
}

/// Creates two processes with the same server.
pub(super) async fn two() -> (Process, Process) {
    two_with(|builder| builder).await
}

pub(super) async fn two_with(options: impl Fn(RunsBuilder) -> RunsBuilder) -> (Process, Process) {
    let one = alone(&options).await;
    let other = Process::at(one.store.beside(1), &options).await;
    (one, other)
}

pub(super) fn key_of(turn: usize) -> RunKey {
    RunKey::new("user", format!("turn{turn}")).unwrap()
}
