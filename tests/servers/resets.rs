//! Clients of a proxy that leave before the server accepts their requests. All clients of the proxy
//! share one connection to the server.

use tokio::io::duplex;
use tokio::sync::mpsc::unbounded_channel;
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::*;

/// More requests than h2 by default lets clients cancel before the server has accepted them.
const LEAVING: usize = 30;

/// Opens a stream. Then opens and resets others on its connection, while the server does not read.
/// Returns whether the stream goes on.
async fn stream_survives(limit: Option<usize>) -> bool {
    let (publish, events) = unbounded_channel::<&'static str>();
    let events = Arc::new(Mutex::new(Some(events)));
    let answer = service_fn(move |_: Request<Incoming>| {
        let events = events.lock().unwrap().take();
        let events = events.unwrap_or_else(|| unbounded_channel().1);
        let stream = UnboundedReceiverStream::new(events).map(Event::from);
        std::future::ready(Ok::<_, Infallible>(tower_sse::response(stream)))
    });
    let service = TowerToHyperService::new(SseLayer::new().layer(answer));
    let (client, io) = duplex(1 << 20);
    let mut builder = server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
    if let Some(limit) = limit {
        builder.max_pending_accept_reset_streams(limit);
    }
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(io), service));

    let request = || Request::get("http://localhost/events").body(()).unwrap();
    let opened = async {
        let (mut sender, connection) = h2::client::handshake(client).await.unwrap();
        tokio::spawn(connection);
        let (response, _) = sender.send_request(request(), true).unwrap();
        publish.send("one").unwrap();
        let mut body = response.await.unwrap().into_body();
        assert!(body.data().await.unwrap().unwrap().ends_with(b"one\n\n"));
        (sender, body)
    };
    let (mut sender, mut body) = tokio::select! {
        opened = opened => opened,
        _ = &mut serving => unreachable!("the client has not left"),
    };

    // Meanwhile, the server does not read.
    for _ in 0..LEAVING {
        sender = sender.ready().await.unwrap();
        drop(sender.send_request(request(), true).unwrap());
        // The connection's task writes the request's HEADERS frame and its RST_STREAM frame.
        for _ in 0..10 {
            yield_now().await;
        }
    }
    publish.send("two").unwrap();
    tokio::select! {
        data = body.data() => data.unwrap().is_ok_and(|data| data.ends_with(b"two\n\n")),
        _ = &mut serving => false,
    }
}

#[tokio::test]
async fn streams_of_others_end_when_many_clients_leave_a_busy_server() {
    assert!(!stream_survives(None).await);
    assert!(stream_survives(Some(LEAVING)).await, "the setting that the guide shows");
}
