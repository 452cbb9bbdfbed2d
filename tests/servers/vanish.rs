//! A peer that vanishes without a FIN or RST, as when its cable is pulled, and clients that do not
//! read. The first test makes two network namespaces with a link between them, and takes down the
//! far end of the link. That test needs root and iproute2.

use std::net::{TcpListener, TcpStream};
use std::{process::Command, sync::mpsc, thread};

use hyper::client::conn::http2;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;
use tokio::{net, time::timeout_at};

use crate::{support::skip, *};

const HEARTBEAT: Duration = Duration::from_millis(350);
const USER_TIMEOUT: Duration = Duration::from_millis(700);

/// An address reserved for documentation (RFC 5737), which no host outside of this test has.
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
        // The timeout may have begun with bytes that were sent shortly before the cut.
        let elapsed = since.elapsed();
        assert!(elapsed + HEARTBEAT >= USER_TIMEOUT, "{host:?}: after {elapsed:?}");
        let report = server.report().await;
        assert_eq!(report.reason, CloseReason::Disconnected, "{host:?}");
        assert_eq!(server.failures.load(SeqCst), 0, "{host:?}");
    }
    for (host, (server, _peer, request)) in &without {
        let noticed = timeout_at(limit, request.disconnect.cancelled()).await;
        assert!(noticed.is_err() && !request.is_dropped(), "{host:?}: {:?}", since.elapsed());
        assert_eq!(server.stats.snapshot().open, 1, "{host:?}");
    }
}

// Clients that do not read. TCP's user timeout cuts those that do not read their connection, but
// not those that only keep their HTTP/2 windows closed.

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
    let mut sender = support::client::connect_h2_with_window(io, 0).await;
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
        // This client connects first, so that a timeout would cut it first.
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

        assert!(!shut.is_dropped() && shut_server.reports.is_empty(), "{h2:?}");
        assert_eq!(shut_server.stats.snapshot().open, 1, "{h2:?}");
    }
}
