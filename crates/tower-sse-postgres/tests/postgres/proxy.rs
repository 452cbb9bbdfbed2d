use super::relay::Relay;
use crate::*;

/// A proxy in front of a server. It can break connections and delay what hubs read.
pub(crate) struct Proxy {
    relay: Relay,
    state: Arc<State>,
    server: u16,
}

struct State {
    is_held: watch::Sender<bool>,
    holds_requests: watch::Sender<bool>,
    /// The number of readers that are waiting for the server's answer.
    asking: watch::Sender<usize>,
    /// Publishers' connections whose number is below this are held.
    held_publishers: watch::Sender<usize>,
    /// The number of connections so far.
    accepted: AtomicUsize,
    /// The limit on the server's rate of bytes over each connection.
    bytes_per_millisecond: AtomicU64,
    /// Whether new connections are closed.
    is_down: AtomicBool,
    /// Whether notifications are removed from what the server sends.
    drops_notifications: AtomicBool,
}

impl Proxy {
    pub(crate) async fn start(server: u16) -> Self {
        let state = Arc::new(State {
            is_held: watch::Sender::new(false),
            holds_requests: watch::Sender::new(false),
            asking: watch::Sender::new(0),
            held_publishers: watch::Sender::new(0),
            accepted: AtomicUsize::new(0),
            bytes_per_millisecond: AtomicU64::new(u64::MAX),
            is_down: AtomicBool::new(false),
            drops_notifications: AtomicBool::new(false),
        });
        let passing = Arc::clone(&state);
        let pass = move |client, server| pass(client, server, Arc::clone(&passing));
        Self { relay: Relay::start(server, pass).await, state, server }
    }

    pub(crate) fn broker(&self) -> PostgresBroker {
        self.broker_of("tower_sse")
    }

    pub(crate) fn broker_of(&self, stream: &str) -> PostgresBroker {
        let port = self.relay.address.port();
        let address = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres");
        patient(Postgres::open(&address).unwrap().broker(stream))
    }

    pub(crate) fn cut(&self) {
        self.relay.cut();
    }

    /// Breaks all connections. While `is_down` is `true`, closes new ones.
    pub(crate) fn set_down(&self, is_down: bool) {
        self.state.is_down.store(is_down, SeqCst);
        self.cut();
    }

    /// Connects new connections in turn to the proxy's own server and to the one at port `other`.
    pub(crate) fn alternate_with(&self, other: u16) {
        self.relay.alternate([self.server, other]);
    }

    /// Holds the readers' connections in both directions: later requests reach the server after the
    /// release. Returns once the server has answered all earlier requests.
    pub(crate) async fn hold(&self) {
        self.state.is_held.send_replace(true);
        self.state.asking.subscribe().wait_for(|asking| *asking == 0).await.unwrap();
    }

    pub(crate) fn release(&self) {
        self.state.is_held.send_replace(false);
    }

    /// Holds the readers' requests, or releases them. Notifications still pass.
    pub(crate) fn hold_requests(&self, are_held: bool) {
        self.state.holds_requests.send_replace(are_held);
    }

    /// Holds the publishers' current connections, but not later ones.
    pub(crate) fn hold_publishers(&self) {
        self.state.held_publishers.send_replace(self.state.accepted.load(SeqCst));
    }

    pub(crate) fn limit(&self, bytes_per_millisecond: u64) {
        self.state.bytes_per_millisecond.store(bytes_per_millisecond, SeqCst);
    }

    pub(crate) fn drop_notifications(&self) {
        self.state.drops_notifications.store(true, SeqCst);
    }
}

impl State {
    async fn passes(&self, number: usize, reads: bool) {
        if reads {
            self.is_held.subscribe().wait_for(|is_held| !is_held).await.unwrap();
        } else {
            self.held_publishers.subscribe().wait_for(|held| *held <= number).await.unwrap();
        }
    }
}

/// The last message of the server's answer to a statement outside of a transaction.
const READY: &[u8] = b"Z\0\0\0\x05I";

async fn pass(client: TcpStream, server: TcpStream, state: Arc<State>) {
    let number = state.accepted.fetch_add(1, SeqCst);
    if state.is_down.load(SeqCst) {
        return;
    }
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let reads = AtomicBool::new(false);
    let asks = AtomicBool::new(false);
    let set_asks = |asking: bool| {
        if asks.swap(asking, SeqCst) != asking {
            let change = |count: &mut usize| *count = if asking { *count + 1 } else { *count - 1 };
            state.asking.send_modify(change);
        }
    };
    let up = async {
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from_client.read(&mut chunk).await {
            // Only a reader's connection polls.
            if chunk[..length].windows(6).any(|window| window == b".poll(") {
                reads.store(true, SeqCst);
            }
            state.passes(number, reads.load(SeqCst)).await;
            if reads.load(SeqCst) {
                state.holds_requests.subscribe().wait_for(|are_held| !are_held).await.unwrap();
            }
            set_asks(reads.load(SeqCst));
            if to_server.write_all(&chunk[..length]).await.is_err() {
                return;
            }
        }
    };
    let down = async {
        let mut messages = Vec::new();
        let mut chunk = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = from_server.read(&mut chunk).await {
            messages.extend_from_slice(&chunk[..length]);
            if messages.ends_with(READY) {
                set_asks(false);
            }
            if state.drops_notifications.load(SeqCst) {
                remove_notifications(&mut messages);
            }
            state.passes(number, reads.load(SeqCst)).await;
            let rate = state.bytes_per_millisecond.load(SeqCst);
            if rate != u64::MAX {
                sleep(Duration::from_millis(messages.len() as u64 / rate)).await;
            }
            if to_client.write_all(&messages).await.is_err() {
                return;
            }
            messages.clear();
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
    set_asks(false);
}

/// Removes the notifications of a chunk that consists of whole messages.
fn remove_notifications(chunk: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(head) = chunk.get(at..at + 5) {
        let length = 1 + u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
        if head[0] == b'A' && at + length <= chunk.len() {
            chunk.drain(at..at + length);
        } else {
            at += length;
        }
    }
}
