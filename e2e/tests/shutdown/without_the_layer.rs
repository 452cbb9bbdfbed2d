//! Shutdowns of servers whose layer has no `shutdown`, which show the purpose of that option.

use crate::*;

/// A time that is much longer than the rest of the test.
const WAITED: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_stream_keeps_the_server_running_forever() {
    join_all(Host::ALL.iter().flat_map(|host| {
        Protocol::BOTH.map(|protocol| async move {
            let shutdown = CancellationToken::new();
            let (mut feeds, streams) = Feeds::new();
            let server = host.start(SseLayer::new(), streams, &shutdown).await;
            let mut connection = protocol.connect(server.address).await;
            let response = connection.send(Requester::EventSource.request("/events")).await;
            let feed = feeds.next().await;

            shutdown.cancel();
            let finished = server.finished();
            tokio::pin!(finished);
            assert!(timeout(WAITED, &mut finished).await.is_err(), "{host:?}, {protocol:?}");

            // The stream is not cut either: it goes on.
            feed.data("data: still here\n\n");
            let mut events = EventReader::new(response);
            assert_eq!(events.next().await.unwrap().data, "still here");
            feed.end();
            assert_eq!(events.next().await, None);
            finished.await;
        })
    }))
    .await;
}
