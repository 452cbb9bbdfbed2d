//! HTTP/2 streams whose client grants them no window: their data waits for one, so they are not
//! polled, and nothing in them can end them. One connection may have as many of them as the server
//! allows.

use http_body_util::Full;
use hyper::client::conn::http2;
use tower_sse::{MaxAge, StreamOptions};

use crate::*;

/// hyper's default limit for one connection.
const STREAMS: usize = 200;
const MAX_AGE: Duration = Duration::from_millis(100);

/// A connection, and the responses that it never reads.
type Shut = (http2::SendRequest<Full<Bytes>>, Vec<Response<Incoming>>);

async fn connect(address: SocketAddr) -> Shut {
    let stream = soon(TcpStream::connect(address)).await.unwrap();
    let mut sender = connect_h2_with_window(stream, 0).await;
    let mut responses = Vec::new();
    for _ in 0..STREAMS {
        let response = sender.send_request(Requester::EventSource.request("/"));
        responses.push(soon(response).await.unwrap());
    }
    (sender, responses)
}

/// Answers with one event and then nothing; the stream at `/ageless` has no maximum age.
fn answer(parts: &Parts) -> Response<Body> {
    let mut response = Source::Idle.answer(None);
    if parts.uri.path() != "/ageless" {
        response.extensions_mut().insert(StreamOptions::new().max_age(MaxAge::new(MAX_AGE)));
    }
    response
}

#[tokio::test]
async fn one_connection_holds_its_permits_beyond_the_maximum_age_and_the_shutdown() {
    for host in Host::ALL {
        let (shutdown, stats) = (CancellationToken::new(), Stats::new());
        let (closed, mut reports) = tokio::sync::mpsc::unbounded_channel();
        let layer = SseLayer::new()
            .shutdown(shutdown.clone())
            .drain(Drain::at_once())
            .max_streams(STREAMS + 2)
            .on_close(move |report| closed.send(report.reason).unwrap())
            .stats(&stats);
        let server = host.start(layer, handler(|parts| answer(&parts)), &shutdown).await;
        let shut = connect(server.address).await;

        // Later streams that are read do end, one by its age and one by the shutdown.
        let mut reads = Protocol::Http2.connect(server.address).await;
        let ageless = reads.send(Requester::EventSource.request("/ageless")).await;
        let aged = reads.send(Requester::EventSource.request("/")).await;
        assert!(!read_to_end(aged).await.failed, "{host:?}");
        shutdown.cancel();
        assert!(!read_to_end(ageless).await.failed, "{host:?}");
        for expected in [CloseReason::Expired, CloseReason::Drained] {
            assert_eq!(soon(reports.recv()).await, Some(expected), "{host:?}");
        }
        assert_eq!(stats.snapshot().open, STREAMS as u64, "{host:?}");
        assert!(reports.is_empty() && !server.has_finished(), "{host:?}");

        drop(shut);
        for _ in 0..STREAMS {
            assert_eq!(soon(reports.recv()).await, Some(CloseReason::Disconnected), "{host:?}");
        }
        drop(reads);
        server.finished().await;
    }
}
