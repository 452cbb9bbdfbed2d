//! An HTTP/2 client with a window of 0, whose permits only the maximum age of its connection frees.

use std::convert::Infallible;

use http::Request;
use tokio::sync::mpsc;
use tower::{Layer, service_fn};
use tower_sse::MaxAge;

use crate::{graceful_hyper, *};

const PLACES: usize = 20;

#[tokio::test]
async fn maximum_connection_age_releases_permits_of_closed_windows() {
    let (reports, mut closed) = mpsc::unbounded_channel();
    let layer = SseLayer::new()
        .max_streams(PLACES)
        // Without effect on a stream that is not polled.
        .max_age(MaxAge::new(Duration::from_millis(1)))
        .on_close(move |report| _ = reports.send(report.reason));
    let service = layer.layer(service_fn(|request: Request<Incoming>| {
        let answer = Source::at(request.uri().path()).answer(None);
        std::future::ready(answer).map(Ok::<_, Infallible>)
    }));
    let (listener, address) = listen().await;
    let limits =
        Limits { age: Duration::from_secs(2), grace: Duration::from_millis(100), ..LIMITS };
    let shutdown = CancellationToken::new();
    let served = tokio::spawn(graceful_hyper::serve(listener, service, shutdown.clone(), limits));

    let stream = TcpStream::connect(address).await.unwrap();
    let mut sender = connect_h2_with_window(stream, 0).await;
    let mut open: Vec<Response<Incoming>> = Vec::new();
    for _ in 0..PLACES {
        sender.ready().await.unwrap();
        let response = sender.send_request(Requester::Post.request("/idle"));
        open.push(soon(response).await.unwrap());
        assert_eq!(open.last().unwrap().status(), 200);
    }
    for _ in 0..PLACES {
        assert_eq!(soon(closed.recv()).await, Some(CloseReason::Disconnected));
    }
    let mut other = Protocol::Http1.connect(address).await;
    assert_eq!(other.send(Requester::Post.request("/idle")).await.status(), 200);
    drop(other);
    shutdown.cancel();
    soon(served).await.unwrap();
}
