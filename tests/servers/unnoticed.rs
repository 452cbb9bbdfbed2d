//! The cases in which hyper on HTTP/1 does not notice that a client has left while its stream is
//! idle: hyper does not read from the connection then. The page `guide::clients` says how to avoid
//! most of the cases.

use crate::*;

const GET: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
const EXPECT: &str = "expect: 100-continue\r\n";
const LARGE: usize = 64 * 1024;

fn post(path: &str, field: &str, length: usize) -> String {
    let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{field}");
    format!("{head}content-length: {length}\r\n\r\n")
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Case {
    /// The request body was not read completely: the rest has not come, and the handler keeps the
    /// body.
    UnreadBody,
    /// The request body was not read completely, and the handler has dropped it.
    DroppedBody,
    /// The whole request body has come, and the handler has dropped it. hyper has read only its
    /// beginning.
    LargeBody,
    /// The client waits for a `100 Continue` before it sends its body, which the handler has
    /// dropped.
    Expect,
    /// Bytes of a next request are buffered. Even an extra line break counts.
    NextRequest,
    /// hyper's option `half_close` is set: a client that has finished writing can still read.
    HalfClose,
}

impl Case {
    const ALL: [Self; 6] = [
        Self::UnreadBody,
        Self::DroppedBody,
        Self::LargeBody,
        Self::Expect,
        Self::NextRequest,
        Self::HalfClose,
    ];

    fn request(self) -> String {
        match self {
            Self::UnreadBody => post("/kept", "", 10) + "12345",
            Self::DroppedBody => post("/", "", 10) + "12345",
            Self::LargeBody => post("/", "", LARGE) + &"x".repeat(LARGE),
            Self::Expect => post("/", EXPECT, 10),
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

    async fn connect(self, server: &mut Watched) -> (Peer, Opened) {
        let mut peer = Peer::connect(server.address, Protocol::Http1).await;
        peer.write(self.request().as_bytes()).await;
        let request = server.request().await;
        assert!(peer.head().await);
        (peer, request)
    }
}

/// Lets another client connect and leave, and waits until the server has noticed that. By then
/// everything earlier on the sockets has arrived, and every task of this thread has had a turn.
async fn meanwhile_another_leaves(server: &mut Watched) {
    let (peer, request) = server.open(Protocol::Http1).await;
    drop(peer.leave(Leave::Reset).await);
    let until_it_is_noticed = async {
        while !request.is_dropped() {
            // With `half_close`, only writes show that the client has left.
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
        assert_eq!(server.failures.load(SeqCst), 0);
    }
}

/// hyper 1.10.0 had this bug in its HTTP/1 client: a connection was polled forever once the server
/// had half-closed it.
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
        request.send("more");
        peer.bytes(b"data: more\n\n".len()).await;
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
        assert!(request.disconnect.is_cancelled(), "{host:?}");
    }
}

#[tokio::test]
async fn fin_is_noticed_while_idle_if_the_handler_reads_the_whole_body() {
    for (field, length) in [("", 10), ("", LARGE), (EXPECT, 10)] {
        for host in [Host::AxumH1, Host::HyperH1] {
            let mut server = Watched::serve(host, Settings::default()).await;
            let mut peer = Peer::connect(server.address, Protocol::Http1).await;
            let body = "x".repeat(length);
            peer.write((post("/read", field, length) + &body).as_bytes()).await;
            let request = server.request().await;
            assert!(peer.head().await);
            let _connection = peer.leave(Leave::Fin).await;
            request.over().await;
            assert!(request.disconnect.is_cancelled(), "{host:?}, {field}, {length}");
        }
    }
}
