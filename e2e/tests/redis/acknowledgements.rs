//! Acknowledged events that are no longer in the stream when the reader reaches their place, and
//! processes whose connections reach two servers.

use crate::*;

/// Two processes that have read the event 0. The event 1 is acknowledged to the first process, and
/// Redis has sent the event to both readers, which receive it only when the proxies are released.
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
        // A connection that has not published yet would be held like a reader's.
        publish(&processes[1].hub, "other", "").await;
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

    /// Both processes read the events 1 and 3, of which the latter has the id `last`. Then they
    /// report one loss and continue.
    async fn read_then_gap(mut self, last: Option<Receipt>) {
        self.processes[0].has_read(last).await;
        _ = self.processes[0].publish([100]).await;
        for process in &mut self.processes {
            process.reads_around_a_gap([1, 3], [100]).await;
            assert_eq!(process.stats.losses(), 1);
        }
    }

    /// The second process continues with event 2, before which everything is trimmed. Then the
    /// first process continues too. It has skipped entries before event 2, and both processes have
    /// a loss after event 2.
    async fn read_a_gap_after_2(mut self) {
        let [behind, other] = &mut self.processes;
        self.proxies[1].lose();
        self.server.reach_next_millisecond().await;
        _ = other.publish_and_read([2]).await;
        let _: u64 = self.server.command("XTRIM tower-sse MAXLEN = 1").await;
        self.proxies[0].lose();
        until(|| behind.stats.losses() > 0 && behind.health.is_ready()).await;
        _ = behind.publish([3]).await;
        other.reads_around_a_gap([2], [3]).await;
        behind.reads_gap().await;
        behind.reads_around_a_gap([2], [3]).await;
        assert_eq!([behind.stats.losses(), other.stats.losses()], [2, 1]);
    }
}

async fn nothing(_: &Server) {}

async fn copy(server: &Server) {
    let _: u64 = server.command("COPY tower-sse older").await;
}

async fn put_back(server: &Server) {
    let _: String = server.command("RENAME older tower-sse").await;
}

/// In the older copy, the readers find the last entry that they have read, and a newer entry.
#[tokio::test]
async fn event_that_an_older_copy_lacks_is_a_gap() {
    let Some(unread) = Unread::start(Server::start().await, nothing).await else { return };
    let Unread { server, proxies, processes } = &unread;
    copy(server).await;
    _ = processes[0].publish([2]).await;
    put_back(server).await;
    // The event 3 could otherwise get the id of the event 2.
    server.reach_next_millisecond().await;
    let last = processes[1].publish([3]).await;
    proxies.iter().for_each(Proxy::release);
    unread.read_then_gap(last).await;
}

/// The server assigns the id of the acknowledged event 2 to the event 3.
#[tokio::test]
async fn other_event_with_an_acknowledged_id_is_a_gap() {
    for breaks in [false, true] {
        let Some(unread) = Unread::start(Server::start().await, nothing).await else { return };
        let Unread { server, proxies, processes } = &unread;
        copy(server).await;
        let last = processes[0].publish([2]).await;
        let newest = server.newest().await;
        put_back(server).await;
        let _: String = server.command(&format!("XADD tower-sse {newest} topic a data 3")).await;
        proxies.iter().for_each(if breaks { Proxy::lose } else { Proxy::release });
        unread.read_then_gap(last).await;
    }
}

/// A process has two connections: one reads, the other publishes. The proxy leads them to different
/// servers, which are both primaries.
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
    process.delivers(0..10).await;
    assert_eq!(process.stats.losses(), 0);
}

/// The second process continues from a copy that lacks the event 1. The process knows nothing of
/// this event.
#[tokio::test]
async fn rolled_back_event_that_is_trimmed_is_a_gap_in_every_process() {
    let Some(unread) = Unread::start(Server::start().await, copy).await else { return };
    put_back(&unread.server).await;
    unread.read_a_gap_after_2().await;
}

/// The server becomes a replica of another server, which lacks the event 1, and then the primary
/// again.
#[tokio::test]
async fn event_that_a_replica_forgets_is_a_gap_in_every_process() {
    let Some(other) = Server::start().await else { return };
    let promote = async |server: &Server| {
        let _: String = server.command("REPLICAOF NO ONE").await;
    };
    let follow = async |server: &Server| {
        other.replicate(server).await;
        until_async(async || other.newest().await == server.newest().await).await;
        promote(&other).await;
    };
    let Some(unread) = Unread::start(Server::start().await, follow).await else { return };
    unread.server.replicate(&other).await;
    promote(&unread.server).await;
    unread.read_a_gap_after_2().await;
}
