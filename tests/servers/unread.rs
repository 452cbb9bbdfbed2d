//! Clients that do not read, and TCP's user timeout: it cuts clients that do not read their
//! connection, and knows nothing of the windows of HTTP/2.

use hyper::client::conn::http2;
use tokio::io::AsyncWriteExt;

use crate::*;

const HEARTBEAT: Duration = Duration::from_millis(100);
const USER_TIMEOUT: Duration = Duration::from_millis(700);

const MEBIBYTE: &str = match str::from_utf8(&[b'x'; 1 << 20]) {
    Ok(text) => text,
    Err(_) => unreachable!(),
};

fn settings() -> Settings {
    let user_timeout = Some(USER_TIMEOUT);
    Settings { heartbeat: Some(Heartbeat::every(HEARTBEAT)), user_timeout, ..Settings::default() }
}

/// Connects a client that reads its connection and grants its one stream no window.
async fn connect_shut(
    address: SocketAddr,
) -> (http2::SendRequest<Full<Bytes>>, Response<Incoming>) {
    let io = TcpStream::connect(address).await.unwrap();
    let mut sender = connect_h2_with_window(io, 0).await;
    let request = Request::get("/").header("host", "localhost").body(Full::default()).unwrap();
    let response = soon(sender.send_request(request)).await.unwrap();
    (sender, response)
}

/// Connects a client that reads nothing at all.
async fn connect_unread(address: SocketAddr) -> TcpStream {
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
