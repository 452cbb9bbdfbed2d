use crate::*;

/// A panic of the source ends the connection (HTTP/1) or the stream (HTTP/2), with and without the
/// layer: the client sees a failure, the source is dropped, and other streams go on.
#[tokio::test]
async fn panic_of_the_source_propagates_as_without_the_layer() {
    for host in Host::ALL {
        let mut failures = Vec::new();
        for layer in [None, Some(SseLayer::new())] {
            let mut server = Fed::serve_with(host, layer).await;
            let (mut others, other) = server.open().await;

            let mut client = host.connect(server.address).await;
            let mut body = client.get("/events").await.into_body();
            let source = server.sources.next().await;
            source.send("one");
            let frame = soon(body.frame()).await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), "data: one\n\n");
            source.panic();
            source.dropped().await;
            let failure = soon(body.frame()).await.unwrap().unwrap_err();
            failures.push(format!("{failure:?}"));

            other.send("two");
            assert_eq!(others.next().await.unwrap().data, "two", "{host:?}");
        }
        assert_eq!(failures[0], failures[1], "{host:?}");
    }
}

#[tokio::test]
async fn panic_ends_no_other_stream_of_its_http_2_connection() {
    for host in [Host::AxumH2, Host::HyperH2] {
        let mut server = Fed::serve(host).await;
        let (broken, source) = server.open().await;
        let (mut events, other) = server.open().await;
        source.panic();
        source.dropped().await;
        soon(broken.into_body().collect()).await.unwrap_err();
        other.send("two");
        assert_eq!(events.next().await.unwrap().data, "two", "{host:?}");
    }
}
