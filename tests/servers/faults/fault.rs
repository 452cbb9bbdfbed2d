use super::{server::EVENT, *};

/// The request headers of an `EventSource`.
const EVENT_SOURCE: &[(&str, &str)] =
    &[("accept", "text/event-stream"), ("cache-control", "no-cache")];

/// One way in which streams end.
macro_rules! faults {
    ($($fault:ident),*) => {
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Fault { $($fault),* }

        impl Fault {
            pub(crate) const ALL: &[Self] = &[$(Self::$fault),*];
        }
    };
}

faults! {
    ClientLeaves, ClientLeavesAtOnce, ClientLeavesBeforeTheHead, ClientLeavesBeforeABareStream,
    ClientStopsReadingThenLeaves, SourceEnds, SourceFails, SourceIsCancelled, SourcePanics,
    Expires, Drains, IsRevoked, IsRefused, IsHead, IsDroppedUnpolled
}

impl Fault {
    pub(crate) async fn happen(self, server: &Server, ledger: &Arc<Ledger>, rng: &mut Rng) {
        let protocol = *rng.choice(&Protocol::BOTH).unwrap();
        let how = *rng.choice(Leave::all(protocol)).unwrap();
        let events = rng.usize(..4);
        let disconnected = CloseReason::Disconnected;
        let get = async |what| Client::send("GET", server, ledger, protocol, what, events).await;
        match self {
            Self::ClientLeaves => {
                let mut client = get(if rng.bool() { "silence" } else { "busy" }).await;
                assert!(client.peer.head().await);
                client.peer.bytes(events * EVENT.len()).await;
                client.leave(how, Outcome::Closed(disconnected)).await;
            }
            Self::ClientLeavesAtOnce => {
                get("busy").await.leave(how, Outcome::LeftEarly).await;
            }
            Self::ClientLeavesBeforeTheHead => {
                let client = get("waiting").await;
                ledger.until_arrived(client.id).await;
                client.leave(how, Outcome::NotOpened(disconnected)).await;
            }
            Self::ClientLeavesBeforeABareStream => {
                let id = ledger.open_account();
                let server = Server::start_waiting(ledger, id, protocol).await;
                let mut peer = Peer::connect(server.address, protocol).await;
                peer.request("GET", "/").await;
                ledger.until_arrived(id).await;
                let client = Client { id, peer, ledger };
                client.leave(how, Outcome::Closed(disconnected)).await;
                server.stop().await;
            }
            Self::ClientStopsReadingThenLeaves => {
                let id = ledger.open_account();
                let io = connect_small(server.address).await;
                let mut peer = Peer::over(io, protocol).await;
                peer.request("GET", &format!("/flood/0/{id}")).await;
                assert!(peer.head().await);
                stands_still(server, ledger, id).await;
                let client = Client { id, peer, ledger };
                client.leave(how, Outcome::Closed(disconnected)).await;
            }
            Self::SourceEnds => get("end").await.ends(End::Clean, CloseReason::Ended).await,
            Self::SourceIsCancelled => {
                // Other clients would take a clean end for the end of the whole answer.
                let (headers, end) = match rng.bool() {
                    true => (EVENT_SOURCE, End::Clean),
                    false => (&[][..], End::Failed),
                };
                let id = ledger.open_account();
                let mut peer = Peer::connect(server.address, protocol).await;
                peer.request_with("GET", &format!("/cancel/{events}/{id}"), headers).await;
                Client { id, peer, ledger }.ends(end, CloseReason::Cancelled).await;
            }
            Self::SourceFails => get("fail").await.ends(End::Failed, CloseReason::Failed).await,
            Self::SourcePanics => {
                get("panic").await.ends(End::Failed, CloseReason::Panicked).await;
            }
            Self::Expires => get("aged").await.ends(End::Clean, CloseReason::Expired).await,
            Self::Drains => drain(ledger, rng).await,
            Self::IsRevoked => {
                let mut client = get(if rng.bool() { "silence" } else { "busy" }).await;
                assert!(client.peer.head().await);
                assert_eq!(server.streams.close(&client.id.to_string()).await.unwrap(), 1);
                client.ends(End::Clean, CloseReason::Revoked).await;
            }
            Self::IsRefused => refuse(ledger, protocol, how).await,
            Self::IsHead => {
                let mut client =
                    Client::send("HEAD", server, ledger, protocol, "silence", events).await;
                assert!(client.peer.head().await);
                client.leave(how, Outcome::NotOpened(CloseReason::Ended)).await;
            }
            Self::IsDroppedUnpolled => {
                let mut client = get("unpolled").await;
                assert!(!client.peer.head().await);
                client.leave(how, Outcome::Closed(disconnected)).await;
            }
        }
    }
}

struct Client<'l> {
    id: u64,
    peer: Peer,
    ledger: &'l Ledger,
}

impl<'l> Client<'l> {
    async fn send(
        method: &str,
        server: &Server,
        ledger: &'l Ledger,
        protocol: Protocol,
        what: &str,
        events: usize,
    ) -> Self {
        let id = ledger.open_account();
        let mut peer = Peer::connect(server.address, protocol).await;
        peer.request(method, &format!("/{what}/{events}/{id}")).await;
        Self { id, peer, ledger }
    }

    /// Lets the client leave, and waits for this outcome.
    async fn leave(self, how: Leave, outcome: Outcome) {
        let _connection = self.peer.leave(how).await;
        self.ledger.settle(self.id, outcome).await;
    }

    /// Lets the stream end by itself, and waits for its close report.
    async fn ends(mut self, end: End, reason: CloseReason) {
        assert_eq!(self.peer.end().await, end, "stream {}: {reason}", self.id);
        self.ledger.settle(self.id, Outcome::Closed(reason)).await;
    }
}

/// Waits until the source of a stream was polled, and then not for several round trips to the
/// server.
async fn stands_still(server: &Server, ledger: &Ledger, id: u64) {
    let (mut last, mut rounds) = (0, 0);
    let until_it_stands_still = async {
        while rounds < 5 {
            let mut peer = Peer::connect(server.address, Protocol::Http1).await;
            peer.request("GET", "/nothing").await;
            assert!(!peer.head().await);
            let made = ledger.made_by(id);
            rounds = if made == last && made > 0 { rounds + 1 } else { 0 };
            last = made;
        }
    };
    let stood_still = timeout(PATIENCE, until_it_stands_still).await;
    stood_still.unwrap_or_else(|_| panic!("stream {id} was polled and then stands still"));
}

/// Shuts down a server with a few streams.
async fn drain(ledger: &Arc<Ledger>, rng: &mut Rng) {
    let time = Duration::from_millis(rng.u64(1..30));
    // Half a second is long here, but it covers the path from mid-event to a failure.
    let (drain, sources) = match rng.u32(..10) {
        0 => (Drain::at_once(), ["mid_event", "busy"]),
        1..4 => (Drain::at_once(), ["silence", "busy"]),
        4..7 => (Drain::spread_over(time), ["silence", "busy"]),
        _ => (Drain::after(time), ["silence", "busy"]),
    };
    let server = Server::start(ledger, ledger.layer().drain(drain)).await;
    let mut clients = Vec::new();
    for what in sources {
        let protocol = *rng.choice(&Protocol::BOTH).unwrap();
        let mut client = Client::send("GET", &server, ledger, protocol, what, rng.usize(..4)).await;
        assert!(client.peer.head().await);
        if what == "mid_event" {
            client.peer.bytes(1).await;
        }
        clients.push((client, if what == "mid_event" { End::Failed } else { End::Clean }));
    }
    server.shutdown.cancel();
    for (client, end) in clients {
        client.ends(end, CloseReason::Drained).await;
    }
    server.stop().await;
}

/// Exhausts a server that has one permit.
async fn refuse(ledger: &Arc<Ledger>, protocol: Protocol, how: Leave) {
    let server = Server::start(ledger, ledger.layer().max_streams(1)).await;
    let get = async || Client::send("GET", &server, ledger, protocol, "silence", 1).await;
    for _ in 0..2 {
        let mut opened = get().await;
        assert!(opened.peer.head().await, "there is a place");
        let mut refused = get().await;
        assert!(!refused.peer.head().await, "there is none");
        refused.leave(how, Outcome::NotOpened(CloseReason::Ended)).await;
        opened.leave(how, Outcome::Closed(CloseReason::Disconnected)).await;
    }
    server.stop().await;
}
