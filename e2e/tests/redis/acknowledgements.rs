//! Acknowledged events that are no longer in the stream when the reader comes to their place.

use crate::*;

/// Three processes that have read the event 0. The event 1 is in the stream, and Redis has answered
/// it to the readers, but they receive the answer only when the proxy is released.
struct Behind {
    server: Server,
    proxy: Proxy,
    processes: [Process; 3],
}

impl Behind {
    async fn start() -> Option<Self> {
        let server = Server::start().await?;
        let proxy = Proxy::start(server.port()).await;
        let mut processes = [
            Process::connect(proxy.broker()).await,
            Process::connect(proxy.broker()).await,
            Process::connect(proxy.broker()).await,
        ];
        let first = processes[0].publish([0]).await;
        for process in &mut processes {
            process.has_read(first).await;
            process.reads([0]).await;
        }
        proxy.hold();
        _ = processes[0].publish([1]).await;
        Some(Self { server, proxy, processes })
    }

    /// Expects that each process reads these events, the last of which has this id, then reports
    /// one loss and goes on.
    async fn read_then_gap(mut self, numbers: &[usize], last: Option<Receipt>) {
        self.processes[0].has_read(last).await;
        _ = self.processes[0].publish([100]).await;
        for process in &mut self.processes {
            process.reads_around_a_gap(numbers.iter().copied(), [100]).await;
            assert_eq!(process.stats.losses(), 1);
        }
    }
}

/// The readers find the last entry that they have read, and a newer one.
#[tokio::test]
async fn event_that_an_older_copy_lacks_is_a_gap() {
    let Some(behind) = Behind::start().await else { return };
    let Behind { server, proxy, processes } = &behind;
    let _: u64 = server.command("COPY tower-sse older").await;
    _ = processes[0].publish([2]).await;
    let _: String = server.command("RENAME older tower-sse").await;
    // The next event could otherwise have the id of the one before.
    server.reach_next_millisecond().await;
    let last = processes[1].publish([3]).await;
    proxy.release();
    behind.read_then_gap(&[1, 3], last).await;
}

/// The server assigns an id again.
#[tokio::test]
async fn other_event_with_an_acknowledged_id_is_a_gap() {
    for breaks in [false, true] {
        let Some(behind) = Behind::start().await else { return };
        let Behind { server, proxy, processes } = &behind;
        let _: u64 = server.command("COPY tower-sse older").await;
        let last = processes[0].publish([2]).await;
        let newest = server.newest().await;
        let _: String = server.command("RENAME older tower-sse").await;
        let _: String = server.command(&format!("XADD tower-sse {newest} topic a data 3")).await;
        if breaks {
            proxy.lose();
        } else {
            proxy.release();
        }
        behind.read_then_gap(&[1, 3], last).await;
    }
}

/// The reader stays connected to a server that becomes a replica of its successor. It reads the
/// events of the successor there, but cannot mark the loss.
#[tokio::test]
async fn event_that_a_demoted_server_forgets_is_a_gap() {
    let Some(old) = Server::start().await else { return };
    let Some(new) = Server::start().await else { return };
    let [proxy, other_proxy] = [Proxy::start(old.port()).await, Proxy::start(old.port()).await];
    let mut process = Process::connect(proxy.broker()).await;
    let mut other = Process::connect(other_proxy.broker()).await;
    let first = process.publish([0]).await;
    for process in [&mut process, &mut other] {
        process.has_read(first).await;
        process.reads([0]).await;
    }
    proxy.hold();
    _ = process.publish([1]).await;
    other.reads([1]).await;
    replicate(&old, &new).await;
    let _: String = new.command("REPLICAOF NO ONE").await;
    other_proxy.switch_to(new.port());
    _ = process.publish([2]).await;
    _ = other.publish([3]).await;
    replicate(&new, &old).await;
    proxy.release();
    process.reads([1, 3]).await;
    process.reports("read only").await;
    assert!(!process.health.is_ready());
    proxy.switch_to(new.port());
    process.reads_gap().await;
    other.reads([3]).await;
    other.reads_gap().await;
    _ = process.publish([4]).await;
    for process in [&mut process, &mut other] {
        process.reads([4]).await;
        assert_eq!(process.stats.losses(), 1);
    }
}

/// Makes `replica` a replica of `server`, and waits until it has the same entries.
async fn replicate(server: &Server, replica: &Server) {
    let _: String = replica.command(&format!("REPLICAOF 127.0.0.1 {}", server.port())).await;
    let newest = async |server: &Server| {
        server.command::<redis::Value>("XREVRANGE tower-sse + - COUNT 1").await
    };
    until_async(async || newest(replica).await == newest(server).await).await;
}

/// The address leads to one server when the reader connects, and to another when the publishers do.
/// Both are primaries.
#[tokio::test]
async fn both_connections_of_a_process_reach_the_same_server() {
    let Some(server) = Server::start().await else { return };
    let Some(other) = Server::start().await else { return };
    let _other_stream = Process::connect(other.broker()).await;
    let proxies = [Proxy::start(server.port()).await, Proxy::start(server.port()).await];
    let mut process = Process::connect(proxies[0].broker()).await;
    let broker = proxies[1].broker().publish_deadline(SHORT_DEADLINE);
    let refused = Process::connect(broker).await;
    for (proxy, process) in proxies.iter().zip([&process, &refused]) {
        proxy.alternate([server.port(), other.port()]);
        process.reports("different servers").await;
    }
    _ = refused.refusal().await;
    let starting = Proxy::start(server.port()).await;
    starting.alternate([server.port(), other.port()]);
    let error = Hub::connect(starting.broker()).await.unwrap_err();
    assert!(format!("{error:?}").contains("different servers"), "{error:?}");
    proxies[0].switch_to(server.port());
    _ = process.publish(0..10).await;
    process.reads(0..10).await;
    assert_eq!(process.stats.losses(), 0);
}

/// Two processes that have read the event 0. The event 1 is acknowledged to the first one, and
/// neither has read it.
struct Unread {
    server: Server,
    proxies: [Proxy; 2],
    processes: [Process; 2],
}

impl Unread {
    /// Calls `before` ahead of the event 1.
    async fn start(server: Option<Server>, before: impl AsyncFnOnce(&Server)) -> Option<Self> {
        let server = server?;
        let proxies = [Proxy::start(server.port()).await, Proxy::start(server.port()).await];
        let mut processes = [
            Process::connect(proxies[0].broker()).await,
            Process::connect(proxies[1].broker()).await,
        ];
        let first = processes[0].publish([0]).await;
        for process in &mut processes {
            process.has_read(first).await;
            process.reads([0]).await;
        }
        before(&server).await;
        proxies.iter().for_each(Proxy::hold);
        _ = processes[0].publish([1]).await;
        Some(Self { server, proxies, processes })
    }

    /// The second process goes on with the event 2. Everything before that is trimmed, and then the
    /// first one goes on too.
    async fn trim_past_the_first(&mut self) {
        let [behind, other] = &self.processes;
        self.proxies[1].lose();
        self.server.reach_next_millisecond().await;
        _ = other.publish_and_read([2]).await;
        let _: u64 = self.server.command("XTRIM tower-sse MAXLEN = 1").await;
        self.proxies[0].lose();
        until(|| behind.stats.losses() > 0 && behind.health.is_ready()).await;
        _ = behind.publish([3]).await;
    }

    /// The first process has skipped entries before the event 2, and all processes have a loss after
    /// it.
    async fn read_a_gap_after_2(mut self) {
        self.trim_past_the_first().await;
        let [behind, other] = &mut self.processes;
        other.reads_around_a_gap([2], [3]).await;
        behind.reads_gap().await;
        behind.reads_around_a_gap([2], [3]).await;
        assert_eq!([behind.stats.losses(), other.stats.losses()], [2, 1]);
    }
}

/// The second process goes on from a copy without the event 1, and cannot know that there was one.
#[tokio::test]
async fn rolled_back_event_that_is_trimmed_is_a_gap_in_every_process() {
    let copy = async |server: &Server| {
        let _: u64 = server.command("COPY tower-sse older").await;
    };
    let Some(unread) = Unread::start(Server::start().await, copy).await else { return };
    let _: String = unread.server.command("RENAME older tower-sse").await;
    unread.read_a_gap_after_2().await;
}

/// The server becomes a replica of another one, which lacks the event 1, and then the primary again.
#[tokio::test]
async fn event_that_a_replica_forgets_is_a_gap_in_every_process() {
    let Some(other) = Server::start().await else { return };
    let promote = async |server: &Server| {
        let _: String = server.command("REPLICAOF NO ONE").await;
    };
    let follow = async |server: &Server| {
        replicate(server, &other).await;
        promote(&other).await;
    };
    let Some(unread) = Unread::start(Server::start().await, follow).await else { return };
    unread.server.replicate(&other).await;
    promote(&unread.server).await;
    unread.read_a_gap_after_2().await;
}

/// All other processes have read it.
#[tokio::test]
async fn acknowledged_event_that_is_trimmed_unread_is_a_gap_only_there() {
    let nothing = async |_: &Server| {};
    let Some(mut unread) = Unread::start(Server::start().await, nothing).await else { return };
    unread.trim_past_the_first().await;
    let Unread { server, processes: [behind, other], .. } = &mut unread;
    behind.reads_after_a_gap([2, 3]).await;
    other.reads(1..4).await;
    assert_eq!([behind.stats.losses(), other.stats.losses()], [1, 0]);
    assert_eq!(server.length().await, 2, "no marker for the other process");
}
