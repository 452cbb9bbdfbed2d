use http_body_util::BodyExt;
use tower_sse::SseLayer;

use crate::{
    host::Host,
    source::streams,
    support::{EventReader, soon},
};

/// A panic of the source ends the connection (HTTP/1) or the stream (HTTP/2), with and without the
/// layer: the client sees a failure, the source is dropped, and other streams go on.
#[tokio::test]
async fn a_panic_of_the_source_propagates_as_without_the_layer() {
    for host in Host::ALL {
        let mut failures = Vec::new();
        for layer in [None, Some(SseLayer::new())] {
            let (mut sources, handler) = streams();
            let address = host.serve_with(layer, handler).await;
            let mut bystander = host.connect(address).await;
            let mut others = EventReader::new(bystander.get("/events").await);
            let other = sources.next().await;

            let mut client = host.connect(address).await;
            let mut body = client.get("/events").await.into_body();
            let source = sources.next().await;
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
async fn a_panic_ends_no_other_stream_of_its_http_2_connection() {
    for host in [Host::AxumH2, Host::HyperH2] {
        let (mut sources, handler) = streams();
        let mut client = host.connect(host.serve(handler).await).await;

        let broken = client.get("/events").await;
        let source = sources.next().await;
        let mut events = EventReader::new(client.get("/events").await);
        let other = sources.next().await;
        source.panic();
        source.dropped().await;
        soon(broken.into_body().collect()).await.unwrap_err();
        other.send("two");
        assert_eq!(events.next().await.unwrap().data, "two", "{host:?}");
    }
}
