//! A proxy that cuts event streams at chosen bytes.

use super::*;

/// Where a connection is cut. Each cut is for one answer that is an event stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// After at most this many bytes of the body.
    Random(usize),
    /// After at most this many bytes behind the body's second id. By then, TanStack's client has
    /// taken the first id.
    RandomBehindId(usize),
    /// Behind the first occurrence of a text.
    Behind(&'static str),
    /// Behind the block in which a text occurs.
    BehindBlock(&'static str),
    /// Between the two line feeds that end an event. It is the first event whose id begins behind a
    /// random number of bytes, which is at most this number.
    InBlankLine(usize),
}

#[derive(Default)]
struct Shared {
    cuts: Mutex<VecDeque<Cut>>,
    /// The bytes of the body that each cut let through.
    made: Mutex<Vec<Vec<u8>>>,
    /// The first lines of the requests and of their answers.
    requests: watch::Sender<Vec<(String, String)>>,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    pub(crate) async fn start(
        upstreams: Vec<SocketAddr>,
        cuts: impl IntoIterator<Item = Cut>,
    ) -> Self {
        let (listener, address) = listen().await;
        let cuts = Mutex::new(cuts.into_iter().collect());
        let shared = Arc::new(Shared { cuts, ..Shared::default() });
        tokio::spawn(accept(listener, upstreams, Arc::clone(&shared)));
        Self { address, shared }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn made(&self) -> Vec<Vec<u8>> {
        self.shared.made.lock().unwrap().clone()
    }

    pub(crate) fn requests(&self) -> watch::Receiver<Vec<(String, String)>> {
        self.shared.requests.subscribe()
    }
}

/// Relays each connection to the next server in turn.
async fn accept(listener: TcpListener, upstreams: Vec<SocketAddr>, shared: Arc<Shared>) {
    for upstream in upstreams.into_iter().cycle() {
        let (client, _) = listener.accept().await.unwrap();
        client.set_nodelay(true).unwrap();
        let shared = Arc::clone(&shared);
        // The result is ignored, because clients and servers may leave at any time.
        tokio::spawn(async move { _ = relay(client, upstream, &shared).await });
    }
}

async fn relay(mut client: TcpStream, upstream: SocketAddr, shared: &Shared) -> Option<()> {
    let (head, body) = read_head(&mut client).await?;
    let mut server = TcpStream::connect(upstream).await.ok()?;
    // With `close`, a connection has only one answer.
    let request = head.replace("keep-alive", "close");
    server.write_all(&[request.as_bytes(), &body].concat()).await.ok()?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    // Copies the rest of the request's body, and ends when the client leaves.
    let upwards = async {
        _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    };
    let downwards = async {
        let (head, body) = read_head(&mut from_server).await?;
        let line = |head: &str| head.lines().next().unwrap_or_default().to_owned();
        shared.requests.send_modify(|requests| requests.push((line(&request), line(&head))));
        // With `close`, clients on Node would take a cut for the end of the answer.
        let head = head.replace("connection: close", "connection: keep-alive");
        to_client.write_all(head.as_bytes()).await.ok()?;
        let is_stream = head.to_ascii_lowercase().contains("text/event-stream");
        let cut = if is_stream { shared.cuts.lock().unwrap().pop_front() } else { None };
        let mut cutter = Cutter::new(cut, body);
        loop {
            let (bytes, is_cut) = cutter.pass();
            to_client.write_all(bytes).await.ok()?;
            if is_cut {
                let end = cutter.body[..cutter.passed].to_vec();
                shared.made.lock().unwrap().push(end);
                return Some(());
            }
            if from_server.read_buf(&mut cutter.body).await.ok()? == 0 {
                // The answer ended before its cut, which is left for a later answer.
                shared.cuts.lock().unwrap().extend(cut);
                return Some(());
            }
        }
    };
    tokio::select! {
        () = upwards => None,
        done = downwards => done,
    }
}

/// Reads up to the empty line, and also returns the bytes after it that have arrived.
async fn read_head(from: &mut (impl AsyncReadExt + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        if let Some(at) = find(&read, b"\r\n\r\n") {
            let body = read.split_off(at + 4);
            return Some((String::from_utf8(read).ok()?, body));
        }
        if from.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
}

struct Cutter {
    cut: Option<Cut>,
    /// The random number of bytes, for a cut that has a maximum.
    bytes: usize,
    body: Vec<u8>,
    passed: usize,
}

impl Cutter {
    fn new(cut: Option<Cut>, body: Vec<u8>) -> Self {
        let bytes = match cut {
            Some(Cut::Random(most) | Cut::RandomBehindId(most) | Cut::InBlankLine(most)) => {
                fastrand::usize(..=most)
            }
            _ => 0,
        };
        Self { cut, bytes, body, passed: 0 }
    }

    /// Returns the bytes that may pass now, and whether the connection is cut behind them.
    fn pass(&mut self) -> (&[u8], bool) {
        let end = self.cut.and_then(|cut| self.end(cut)).filter(|end| *end <= self.body.len());
        let from = self.passed;
        self.passed = end.unwrap_or(self.body.len());
        (&self.body[from..self.passed], end.is_some())
    }

    fn end(&self, cut: Cut) -> Option<usize> {
        match cut {
            Cut::Random(_) => Some(self.bytes),
            Cut::RandomBehindId(_) => {
                let first = self.behind(0, "\nid: ")?;
                let second = self.behind(first, "\nid: ")?;
                Some(self.behind(second, "\n")? + self.bytes)
            }
            Cut::Behind(text) => self.behind(0, text),
            Cut::BehindBlock(text) => self.behind(self.behind(0, text)?, "\n\n"),
            Cut::InBlankLine(_) => self.behind(self.behind(self.bytes, "\nid: ")?, "\n"),
        }
    }

    fn behind(&self, from: usize, text: &str) -> Option<usize> {
        Some(from + find(self.body.get(from..)?, text.as_bytes())? + text.len())
    }
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}
