use super::{server::EVENT, *};

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
    ClientLeaves, ClientLeavesAtOnce, ClientLeavesBeforeTheHead,
    SourceEnds, SourceFails, SourceIsCancelled, SourcePanics,
    Expires, Answers, Drains, IsRevoked, IsHead, IsDroppedUnpolled
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
                client.leave(how, Outcome::NotOpened).await;
            }
            Self::SourceEnds => get("end").await.ends(End::Clean, CloseReason::Ended).await,
            Self::SourceIsCancelled => {
                get("cancel").await.ends(End::Failed, CloseReason::Cancelled).await;
            }
            Self::SourceFails => get("fail").await.ends(End::Failed, CloseReason::Failed).await,
            Self::SourcePanics => {
                get("panic").await.ends(End::Failed, CloseReason::Panicked).await;
            }
            Self::Expires => get("aged").await.ends(End::Clean, CloseReason::Expired).await,
            Self::Answers => get("polled").await.ends(End::Clean, CloseReason::Answered).await,
            Self::Drains => drain(ledger, rng).await,
            Self::IsRevoked => {
                let mut client = get(if rng.bool() { "silence" } else { "busy" }).await;
                assert!(client.peer.head().await);
                assert_eq!(server.streams.close(&client.id.to_string()).await.unwrap(), 1);
                client.ends(End::Clean, CloseReason::Revoked).await;
            }
            Self::IsHead => {
                let mut client =
                    Client::send("HEAD", server, ledger, protocol, "silence", events).await;
                assert!(client.peer.head().await);
                client.leave(how, Outcome::NotOpened).await;
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

    async fn leave(self, how: Leave, outcome: Outcome) {
        let _connection = self.peer.leave(how).await;
        self.ledger.settle(self.id, outcome).await;
    }

    async fn ends(mut self, end: End, reason: CloseReason) {
        assert_eq!(self.peer.end().await, end, "stream {}: {reason}", self.id);
        self.ledger.settle(self.id, Outcome::Closed(reason)).await;
    }
}

async fn drain(ledger: &Arc<Ledger>, rng: &mut Rng) {
    let time = Duration::from_millis(rng.u64(1..30));
    // Mid-event, `Drain::at_once` waits for half a second, which is long for these tests. So only
    // about one in ten of the drains has a stream that is mid-event.
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
