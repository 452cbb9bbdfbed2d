use http::Response;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio_util::task::AbortOnDropHandle;

use super::*;

/// How long a client waits before it connects again after a refusal, a clean end without the
/// terminator, or a connection that could not be opened.
const PAUSE: Duration = Duration::from_millis(50);

/// How long one connection can last at most.
const LONGEST: Duration = Duration::from_secs(40);

/// A client of one run, which reads it over any number of connections.
#[derive(Debug)]
pub(crate) struct Client {
    path: String,
    /// The numbers of the events, in the order in which they came.
    pub(crate) numbers: Vec<u64>,
    /// When each event came.
    pub(crate) times: Vec<Instant>,
    pub(crate) last: Option<String>,
    /// How often the client has posted, with or without an answer.
    pub(crate) connections: usize,
    pub(crate) progress: Progress,
}

/// The number of event streams and events that a client has received, for a client that reads in
/// another task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Arc<AtomicUsize>);

impl Progress {
    pub(crate) async fn has_an_event(&self) {
        until(|| self.0.load(SeqCst) > 1).await;
    }

    fn advance(&self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// After the terminator.
    Complete,
    /// Cleanly, without the terminator.
    Clean,
    /// The connection ended with an error.
    Failed,
    /// By the client, after the bytes that it wanted.
    Cut,
    /// The response has a status other than `200`.
    Status(StatusCode),
    /// The connection or the request failed before a response.
    Unreachable,
}

impl Client {
    /// Returns a client of the run `name`, which the client's first request starts.
    pub(crate) fn of_turn(name: &str, events: u64, gap: u64) -> Self {
        Self {
            path: format!("/turn/{name}?events={events}&gap={gap}"),
            numbers: Vec::new(),
            times: Vec::new(),
            last: None,
            connections: 0,
            progress: Progress::default(),
        }
    }

    /// Starts a run at the first process and reads the first 200 bytes of the answer.
    pub(crate) async fn begun(cluster: &Cluster, name: &str, events: u64) -> Self {
        let mut client = Self::of_turn(name, events, 5);
        assert_eq!(client.post(cluster.address(0), 200).await, Closed::Cut);
        client
    }

    /// Posts once, and reads until the end, or for up to `bytes` bytes.
    pub(crate) async fn post(&mut self, to: SocketAddr, bytes: usize) -> Closed {
        self.connections += 1;
        let Some((response, _connection)) = self.open(to).await else {
            return Closed::Unreachable;
        };
        match response.status() {
            StatusCode::OK => self.read(response.into_body(), bytes).await,
            status => Closed::Status(status),
        }
    }

    async fn open(&self, to: SocketAddr) -> Option<(Response<Incoming>, AbortOnDropHandle<()>)> {
        self.send(Method::POST, to).await
    }

    /// Stops the run through the process at this address. Returns whether it was running.
    pub(crate) async fn stop(&self, at: SocketAddr) -> bool {
        let (response, _connection) = self.send(Method::DELETE, at).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes() == "true"
    }

    async fn send(
        &self,
        method: Method,
        to: SocketAddr,
    ) -> Option<(Response<Incoming>, AbortOnDropHandle<()>)> {
        let stream = TcpStream::connect(to).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let connection = AbortOnDropHandle::new(tokio::spawn(async { _ = connection.await }));
        let mut request = Request::builder().method(method).uri(&self.path);
        request = request.header("host", "localhost").header("cache-control", "no-cache");
        request = request.header("accept", "text/event-stream");
        if let Some(last) = &self.last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        Some((sender.send_request(request).await.ok()?, connection))
    }

    async fn read(&mut self, mut body: Incoming, mut bytes: usize) -> Closed {
        self.progress.advance();
        let deadline = Instant::now() + LONGEST;
        let mut decoder = Decoder::new();
        let mut is_complete = false;
        loop {
            // If a run were forgotten, heartbeats would keep its connections open without an end.
            assert!(Instant::now() < deadline, "no end: {:?}", self.last);
            let frame = timeout(PATIENCE, body.frame()).await;
            let frame = frame.unwrap_or_else(|_| panic!("a frame in time: {self:?}"));
            let mut data = match frame {
                None if is_complete => return Closed::Complete,
                None => return Closed::Clean,
                Some(Err(_)) => return Closed::Failed,
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            };
            let is_cut = data.len() >= bytes;
            data.truncate(bytes);
            bytes -= data.len();
            while let Some(message) = decoder.decode(&mut data).unwrap() {
                if message.data == DONE {
                    is_complete = true;
                } else {
                    // An event that is forged or named may have no number.
                    self.numbers.push(message.data.parse().unwrap_or(0));
                    self.times.push(Instant::now());
                    self.progress.advance();
                    self.last = Some(message.last_event_id.to_string());
                }
            }
            if is_cut {
                return if is_complete { Closed::Complete } else { Closed::Cut };
            }
        }
    }

    /// Reads the whole answer from any of these processes. The first `cuts` connections are cut
    /// after at most `bytes` bytes each.
    pub(crate) async fn read_all(&mut self, from: &[SocketAddr], bytes: usize, cuts: usize) {
        let deadline = Instant::now() + 3 * PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "too late: {self:?}");
            let is_cut = self.connections < cuts;
            let bytes = if is_cut { fastrand::usize(1..=bytes) } else { usize::MAX };
            let to = from[fastrand::usize(..from.len())];
            match self.post(to, bytes).await {
                Closed::Complete => return,
                Closed::Failed | Closed::Cut => {}
                Closed::Clean
                | Closed::Status(StatusCode::SERVICE_UNAVAILABLE)
                | Closed::Unreachable => {
                    sleep(PAUSE).await;
                }
                // The last connection ended behind the last event and before the terminator.
                Closed::Status(StatusCode::NO_CONTENT) => return,
                Closed::Status(status) => panic!("{status}: {self:?}"),
            }
        }
    }

    /// Asserts that every event came once, and in order.
    pub(crate) fn assert_whole(&self, events: u64) {
        let is_whole = self.numbers.iter().copied().eq(1..=events);
        assert!(is_whole, "{} events: {self:?}", self.numbers.len());
    }
}

pub(crate) async fn reads_whole(name: &str, events: u64, from: &[SocketAddr]) {
    let mut client = Client::of_turn(name, events, 5);
    client.read_all(from, usize::MAX, 0).await;
    client.assert_whole(events);
}
