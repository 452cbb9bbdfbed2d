//! A peer that vanishes without a FIN or RST, as when its cable is pulled: two network namespaces
//! with a link between them, whose far end goes down. The test needs root and iproute2.

use std::{
    net::{TcpListener, TcpStream},
    process::Command,
    sync::mpsc,
    thread,
};

use hyper::client::conn::http2;
use nix::{
    sched::{CloneFlags, unshare},
    unistd::gettid,
};
use tokio::{net, time::timeout_at};

use crate::{support::skip, *};

const HEARTBEAT: Duration = Duration::from_millis(350);
const USER_TIMEOUT: Duration = Duration::from_millis(700);

/// An address reserved for documentation (RFC 5737), which no host has.
const SERVER: &str = "192.0.2.1";
const CLIENT: &str = "192.0.2.2";

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace of its own. A socket that is made there stays in it, whichever
/// thread uses it. The namespace ends with its last thread and socket.
struct Namespace {
    jobs: mpsc::Sender<Job>,
    thread_id: i32,
}

impl Namespace {
    fn new() -> Result<Self, String> {
        let (jobs, received) = mpsc::channel::<Job>();
        let (entered, thread_id) = mpsc::channel();
        thread::spawn(move || {
            let unshared = unshare(CloneFlags::CLONE_NEWNET);
            let thread_id = unshared.map(|()| gettid().as_raw()).map_err(|e| e.to_string());
            entered.send(thread_id).unwrap();
            received.into_iter().for_each(|job| job());
        });
        Ok(Self { jobs, thread_id: thread_id.recv().unwrap()? })
    }

    /// Runs `job` within the namespace.
    fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        self.jobs.send(Box::new(move || done.send(job()).unwrap())).unwrap();
        result.recv().unwrap()
    }

    fn ip(&self, arguments: &str) -> Result<(), String> {
        let mut ip = Command::new("ip");
        ip.args(arguments.split(' '));
        match self.run(move || ip.output()) {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(format!("ip: {error}")),
        }
    }
}

/// Two hosts with a link between them.
struct Link {
    near: Namespace,
    far: Namespace,
}

impl Link {
    fn new() -> Result<Self, String> {
        let (near, far) = (Namespace::new()?, Namespace::new()?);
        near.ip(&format!("link add near type veth peer name far netns {}", far.thread_id))?;
        for (namespace, name, address) in [(&near, "near", SERVER), (&far, "far", CLIENT)] {
            namespace.ip(&format!("addr add {address}/24 dev {name}"))?;
            namespace.ip(&format!("link set {name} up"))?;
        }
        Ok(Self { near, far })
    }

    /// Returns `None`, after printing one line, where namespaces are unavailable.
    fn where_possible() -> Option<Self> {
        match Self::new() {
            Ok(link) => Some(link),
            Err(error) => {
                skip(&format!("no network namespaces here: {error}"));
                None
            }
        }
    }

    fn listen(&self) -> net::TcpListener {
        let listener = self.near.run(|| TcpListener::bind((SERVER, 0)).unwrap());
        listener.set_nonblocking(true).unwrap();
        net::TcpListener::from_std(listener).unwrap()
    }

    /// Opens a stream through the link, from a server whose sockets have this user timeout.
    async fn open(&self, host: Host, user_timeout: Option<Duration>) -> (Watched, Peer, Opened) {
        let heartbeat = Some(Heartbeat::every(HEARTBEAT));
        let settings = Settings { heartbeat, user_timeout, ..Settings::default() };
        let mut server = Watched::serve_on(self.listen(), host, settings);
        let address = server.address;
        let io = self.far.run(move || TcpStream::connect(address).unwrap());
        io.set_nonblocking(true).unwrap();
        let mut peer = Peer::over(net::TcpStream::from_std(io).unwrap(), host.protocol()).await;
        peer.request("GET", "/").await;
        let request = server.request().await;
        request.send("one");
        peer.bytes(b"data: one\n\n".len()).await;
        (server, peer, request)
    }

    /// Takes the far host off the link.
    fn cut(&self) {
        self.far.ip("link set far down").unwrap();
    }
}

#[tokio::test]
async fn vanished_peer_is_noticed_only_with_heartbeats_and_the_user_timeout() {
    let Some(link) = Link::where_possible() else { return };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for host in Host::ALL {
        with.push((host, link.open(host, Some(USER_TIMEOUT)).await));
        without.push((host, link.open(host, None).await));
    }
    link.cut();
    let since = Instant::now();
    let limit = since + 2 * (HEARTBEAT + USER_TIMEOUT);

    for (host, (server, _peer, request)) in &mut with {
        let noticed = timeout(PATIENCE, request.disconnect.cancelled()).await;
        noticed.unwrap_or_else(|_| panic!("{host:?}: not noticed within {:?}", since.elapsed()));
        // TCP may have waited only for what was in flight before the cut.
        let elapsed = since.elapsed();
        assert!(elapsed + HEARTBEAT >= USER_TIMEOUT, "{host:?}: after {elapsed:?}");
        let report = server.report().await;
        assert_eq!(report.reason, CloseReason::Disconnected, "{host:?}");
        assert_eq!(server.failures(), 0, "{host:?}");
    }
    for (host, (server, _peer, request)) in &without {
        let noticed = timeout_at(limit, request.disconnect.cancelled()).await;
        assert!(noticed.is_err() && !request.is_dropped(), "{host:?}: {:?}", since.elapsed());
        assert_eq!(server.stats().open, 1, "{host:?}");
    }
}

// Clients that do not read, and TCP's user timeout: it cuts clients that do not read their
// connection, and knows nothing of the windows of HTTP/2.

const OFTEN: Duration = Duration::from_millis(100);

const MEBIBYTE: &str = match str::from_utf8(&[b'x'; 1 << 20]) {
    Ok(text) => text,
    Err(_) => unreachable!(),
};

fn settings() -> Settings {
    let user_timeout = Some(USER_TIMEOUT);
    Settings { heartbeat: Some(Heartbeat::every(OFTEN)), user_timeout, ..Settings::default() }
}

/// Connects a client that reads its connection and grants its one stream no window.
async fn connect_shut(
    address: SocketAddr,
) -> (http2::SendRequest<Full<Bytes>>, Response<Incoming>) {
    let io = net::TcpStream::connect(address).await.unwrap();
    let mut sender = connect_h2_with_window(io, 0).await;
    let request = Request::get("/").header("host", "localhost").body(Full::default()).unwrap();
    let response = soon(sender.send_request(request)).await.unwrap();
    (sender, response)
}

/// Connects a client that reads nothing at all.
async fn connect_unread(address: SocketAddr) -> net::TcpStream {
    let mut stream = connect_small(address).await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    stream
}

#[tokio::test]
async fn user_timeout_cuts_a_stalled_client_but_none_with_a_closed_window() {
    for (h1, h2) in [(Host::AxumH1, Host::AxumH2), (Host::HyperH1, Host::HyperH2)] {
        // First, so that its timeout would be over first.
        let mut shut_server = Watched::serve(h2, settings()).await;
        let _shut = connect_shut(shut_server.address).await;
        let shut = shut_server.request().await;
        shut.send("one");

        let mut server = Watched::serve(h1, settings()).await;
        let _unread = connect_unread(server.address).await;
        let unread = server.request().await;
        for _ in 0..16 {
            unread.send(MEBIBYTE);
        }
        unread.over().await;
        assert_eq!(server.report().await.reason, CloseReason::Disconnected, "{h1:?}");

        assert!(!shut.is_dropped() && !shut_server.has_report(), "{h2:?}");
        assert_eq!(shut_server.stats().open, 1, "{h2:?}");
    }
}

// The cases in which hyper on HTTP/1 does not notice that a client has left while its stream is
// idle, as it does not read from the connection then. The front page of the crate documents them.

const GET: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Case {
    /// The request body was not read completely: the rest has not come, and the handler keeps it.
    UnreadBody,
    /// The request body was not read completely, and the handler has dropped it.
    DroppedBody,
    /// Bytes of a next request are buffered, if only an extra line break.
    NextRequest,
    /// hyper is configured to let a client that has finished writing read on.
    HalfClose,
}

impl Case {
    const ALL: [Self; 4] =
        [Self::UnreadBody, Self::DroppedBody, Self::NextRequest, Self::HalfClose];

    fn request(self) -> String {
        let post = |path| {
            format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n12345")
        };
        match self {
            Self::UnreadBody => post("/kept"),
            Self::DroppedBody => post("/"),
            Self::NextRequest => format!("{GET}\r\n"),
            Self::HalfClose => GET.to_owned(),
        }
    }

    fn settings(self) -> Settings {
        Settings { half_close: self == Self::HalfClose, ..Settings::default() }
    }

    /// Returns all cases on each host that has them.
    fn everywhere() -> impl Iterator<Item = (Self, Host)> {
        Self::ALL.into_iter().flat_map(|case| {
            let hosts: &[Host] = match case {
                // axum does not offer the option.
                Self::HalfClose => &[Host::HyperH1],
                _ => &[Host::AxumH1, Host::HyperH1],
            };
            hosts.iter().map(move |host| (case, *host))
        })
    }

    /// Connects a client and waits until its stream has begun.
    async fn connect(self, server: &mut Watched) -> (Peer, Opened) {
        let mut peer = Peer::connect(server.address, Protocol::Http1).await;
        peer.write(self.request().as_bytes()).await;
        let request = server.request().await;
        assert!(peer.head().await);
        (peer, request)
    }
}

/// Waits until another client that leaves now is noticed. By then everything earlier on the sockets
/// has arrived, and every task of this thread has had a turn.
async fn meanwhile_another_leaves(server: &mut Watched) {
    let mut peer = Peer::connect(server.address, Protocol::Http1).await;
    peer.request("GET", "/").await;
    let request = server.request().await;
    assert!(peer.head().await);
    drop(peer.leave(Leave::Reset).await);
    let until_it_is_noticed = async {
        while !request.is_dropped() {
            // With half_close it takes writes.
            request.send_if_open("anybody there?");
            yield_now().await;
        }
    };
    soon(until_it_is_noticed).await;
    server.report().await;
}

#[tokio::test]
async fn fin_is_not_noticed_while_idle_but_by_the_second_write() {
    for (case, host) in Case::everywhere() {
        let mut server = Watched::serve(host, case.settings()).await;
        let (peer, request) = case.connect(&mut server).await;
        // The first write is answered by a RST, and the second fails because of it.
        drop(peer);
        for data in ["one", "two"] {
            for _ in 0..10 {
                meanwhile_another_leaves(&mut server).await;
                assert!(!request.is_dropped(), "{host:?}, {case:?}: before {data}");
                assert!(!request.disconnect.is_cancelled());
            }
            request.send(data);
        }
        request.over().await;
        let report = server.report().await;
        assert_eq!(report.reason, CloseReason::Disconnected, "{host:?}, {case:?}");
        assert_eq!(report.frames, 2, "{host:?}, {case:?}: both were handed to hyper");
        assert_eq!(server.failures(), 0);
    }
}

/// The HTTP/1 client of hyper 1.10.0 was polled forever once its server had half-closed it.
#[tokio::test]
async fn idle_stream_whose_client_half_closes_is_not_polled_again_and_again() {
    for (case, host) in Case::everywhere() {
        let mut server = Watched::serve(host, case.settings()).await;
        let (mut peer, request) = case.connect(&mut server).await;
        meanwhile_another_leaves(&mut server).await;
        let before = request.polls();
        assert!(before > 0, "{host:?}, {case:?}");
        peer.finish_writing().await;
        for _ in 0..10 {
            meanwhile_another_leaves(&mut server).await;
        }
        // hyper looks at the stream again when the FIN arrives.
        let polls = request.polls() - before;
        assert!(polls <= 2, "{host:?}, {case:?}: {polls}");
        assert!(!request.is_dropped(), "{host:?}, {case:?}");
    }
}

#[tokio::test]
async fn fin_that_is_not_noticed_while_idle_is_detected_by_heartbeats() {
    for (case, host) in Case::everywhere() {
        let heartbeat = Some(Heartbeat::every(Duration::from_millis(50)));
        let mut server = Watched::serve(host, Settings { heartbeat, ..case.settings() }).await;
        let (peer, request) = case.connect(&mut server).await;
        drop(peer);
        request.over().await;
        let report = server.report().await;
        assert_eq!(report.reason, CloseReason::Disconnected, "{host:?}, {case:?}");
        assert!(report.heartbeats >= 2, "{host:?}, {case:?}: {report:?}");
    }
}

/// No byte can be written before the head, so the FIN stays unnoticed.
#[tokio::test]
async fn fin_behind_an_unread_body_is_unnoticed_while_the_handler_runs() {
    for host in [Host::AxumH1, Host::HyperH1] {
        let mut server = Watched::serve(host, Settings::default()).await;
        let mut peer = Peer::connect(server.address, Protocol::Http1).await;
        let post = Case::DroppedBody.request().replacen(" / ", " /waiting ", 1);
        peer.write(post.as_bytes()).await;
        let request = server.request().await;
        drop(peer);
        for _ in 0..10 {
            meanwhile_another_leaves(&mut server).await;
            assert!(!request.is_dropped() && !request.disconnect.is_cancelled(), "{host:?}");
        }
    }
}

/// A body that arrived whole with its head has nothing left to read.
#[tokio::test]
async fn fin_after_a_whole_request_is_noticed_though_its_body_is_unread() {
    for host in [Host::AxumH1, Host::HyperH1] {
        let mut server = Watched::serve(host, Settings::default()).await;
        let mut peer = Peer::connect(server.address, Protocol::Http1).await;
        peer.write((Case::UnreadBody.request() + "67890").as_bytes()).await;
        let request = server.request().await;
        assert!(peer.head().await);
        let _connection = peer.leave(Leave::Fin).await;
        request.over().await;
        assert_eq!(request.disconnect.reason(), Some(CloseReason::Disconnected), "{host:?}");
    }
}

/// This is the purpose of half_close; its price is that the FIN of a client that leaves goes
/// unnoticed.
#[tokio::test]
async fn with_half_close_a_client_that_has_finished_writing_goes_on_reading() {
    let mut server = Watched::serve(Host::HyperH1, Case::HalfClose.settings()).await;
    let (mut peer, request) = Case::HalfClose.connect(&mut server).await;
    peer.finish_writing().await;
    meanwhile_another_leaves(&mut server).await;
    for count in 1..=3 {
        request.send("more");
        peer.bytes(count * b"data: more\n\n".len()).await;
    }
    assert!(!request.is_dropped());
}
