use super::{patient, relay::Relay};
use crate::*;

/// Text that only publishers send. A reader also adds entries if ids are ahead, but its `XADD` does
/// not trim.
const PUBLISHES: &[u8] = b"NOMKSTREAM\r\n$6\r\nMAXLEN\r\n";

/// A proxy in front of a server. It can delay or hold the reader of a hub without the publishers,
/// or hold the publishers alone.
///
/// If the server dies, bytes for a reader that the proxy has not forwarded are lost.
pub(crate) struct Proxy {
    relay: Relay,
    state: Arc<State>,
}

struct State {
    delay: AtomicU64,
    bytes_per_millisecond: AtomicU64,
    /// `Some(true)` while publishers' connections are held, `Some(false)` while readers' are.
    held: watch::Sender<Option<bool>>,
    hold_when_sent: Mutex<Option<Vec<u8>>>,
}

impl Proxy {
    pub(crate) async fn start(server: u16) -> Self {
        let state = Arc::new(State {
            delay: AtomicU64::new(0),
            bytes_per_millisecond: AtomicU64::new(u64::MAX),
            held: watch::Sender::new(None),
            hold_when_sent: Mutex::new(None),
        });
        let passing = Arc::clone(&state);
        let pass = move |client, server| pass(client, server, Arc::clone(&passing));
        Self { relay: Relay::start(server, pass).await, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port())
    }

    pub(crate) fn redis(&self) -> Redis {
        Redis::open(&self.url()).unwrap()
    }

    pub(crate) fn broker(&self) -> RedisBroker {
        patient(self.redis())
    }

    pub(crate) const fn port(&self) -> u16 {
        self.relay.address.port()
    }

    pub(crate) fn delay(&self, delay: Duration) {
        self.state.delay.store(delay.as_millis().try_into().unwrap(), SeqCst);
    }

    pub(crate) fn limit(&self, bytes_per_millisecond: u64) {
        self.state.bytes_per_millisecond.store(bytes_per_millisecond, SeqCst);
    }

    /// Holds the server's bytes to readers until the proxy is released.
    pub(crate) fn hold(&self) {
        self.state.held.send_replace(Some(false));
    }

    /// Holds the server's bytes to connections that have published, and no others.
    pub(crate) fn hold_publishers(&self) {
        self.state.held.send_replace(Some(true));
    }

    /// Starts to hold once a reader has sent this text.
    pub(crate) fn hold_when_sent(&self, text: &str) {
        *self.state.hold_when_sent.lock().unwrap() = Some(text.as_bytes().to_vec());
    }

    pub(crate) fn is_holding(&self) -> bool {
        self.state.held.borrow().is_some()
    }

    pub(crate) fn release(&self) {
        self.state.held.send_replace(None);
    }

    /// Releases the proxy and breaks all connections. The held bytes are lost, as when the server
    /// dies.
    pub(crate) fn lose(&self) {
        self.relay.cut();
        self.release();
    }

    /// Breaks all connections. From now on, connections lead to the two servers in turn.
    pub(crate) fn alternate(&self, servers: [u16; 2]) {
        self.relay.alternate(servers);
        self.relay.cut();
    }

    /// Breaks all connections. From now on, connections lead to another server.
    pub(crate) fn switch_to(&self, server: u16) {
        self.alternate([server; 2]);
    }
}

async fn pass(client: TcpStream, server: TcpStream, state: Arc<State>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let is_publisher = AtomicBool::new(false);
    let (chunks, queue) = mpsc::unbounded_channel();
    // Whichever of these ends first ends the connection, even if the queue still has bytes.
    tokio::select! {
        () = pass_up(from_client, to_server, &is_publisher, &state) => {}
        () = receive(from_server, chunks) => {}
        () = pass_down(queue, to_client, &is_publisher, &state) => {}
    }
}

async fn pass_up(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    is_publisher: &AtomicBool,
    state: &State,
) {
    let mut chunk = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = client.read(&mut chunk).await {
        let sent = &chunk[..length];
        if contains(sent, PUBLISHES) {
            is_publisher.store(true, SeqCst);
        }
        if !is_publisher.load(SeqCst) {
            let mut text = state.hold_when_sent.lock().unwrap();
            if text.as_ref().is_some_and(|text| contains(sent, text)) {
                *text = None;
                state.held.send_replace(Some(false));
            }
        }
        if server.write_all(sent).await.is_err() {
            return;
        }
    }
}

async fn receive(mut server: OwnedReadHalf, chunks: mpsc::UnboundedSender<(Instant, Vec<u8>)>) {
    let mut chunk = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = server.read(&mut chunk).await {
        _ = chunks.send((Instant::now(), chunk[..length].to_vec()));
    }
}

async fn pass_down(
    mut queue: mpsc::UnboundedReceiver<(Instant, Vec<u8>)>,
    mut client: OwnedWriteHalf,
    is_publisher: &AtomicBool,
    state: &State,
) {
    let mut held = state.held.subscribe();
    while let Some((received, chunk)) = queue.recv().await {
        let is_publisher = is_publisher.load(SeqCst);
        if !is_publisher {
            sleep_until(received + Duration::from_millis(state.delay.load(SeqCst))).await;
        }
        _ = held.wait_for(|held| *held != Some(is_publisher)).await.unwrap();
        if !is_publisher {
            let rate = state.bytes_per_millisecond.load(SeqCst);
            sleep(Duration::from_millis(chunk.len() as u64 / rate)).await;
        }
        if client.write_all(&chunk).await.is_err() {
            return;
        }
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
