//! tower-http's `CompressionLayer`, with its default predicate and with one that includes event
//! streams.

mod after_the_end;
mod arrival;
mod decoded;
mod last_words;
mod secrets;

use tower_http::compression::{
    CompressionLayer,
    predicate::{NotForContentType, Predicate, SizeAbove},
};

use self::decoded::decompressed;
use super::application::{Place, application, assert_streams, call, get_request, open_served};
use crate::*;

const ACCEPTED: (&str, &str) = ("accept-encoding", "gzip, br");

/// Returns a layer with every option that writes into a stream.
fn writing_layer() -> SseLayer {
    SseLayer::new()
        .heartbeat(Heartbeat::every(Duration::from_secs(1)))
        .padding(4)
        .terminator(Event::from("[DONE]"))
}

/// Returns a compressor that includes event streams, as in the docs of `guide::compression`.
fn everything() -> CompressionLayer<impl Predicate> {
    let predicate =
        SizeAbove::default().and(NotForContentType::GRPC).and(NotForContentType::IMAGES);
    CompressionLayer::new().compress_when(predicate)
}

async fn json_of(app: &Router) -> (http::HeaderMap, Bytes) {
    let (parts, body) = call(app, get_request("/json", &[ACCEPTED])).await.into_parts();
    (parts.headers, body.collect().await.unwrap().to_bytes())
}

async fn gunzip(bytes: Vec<u8>) -> Bytes {
    let response = Response::new(Full::from(bytes)).with_header("content-encoding", "gzip");
    decompressed(response).await.collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn stream_is_neither_compressed_nor_delayed() {
    for place in Place::BOTH {
        let app = place.compose(SseLayer::new(), CompressionLayer::new());
        let (response, source) = open_served(app, &[ACCEPTED]).await;
        assert!(!response.headers().contains_key("content-encoding"), "{place:?}");
        assert_streams(response, source).await;
    }
}

#[tokio::test]
async fn other_responses_are_compressed_as_without_the_layer() {
    let (app, _sources) = application();
    let (headers, compressed) = json_of(&app.layer(CompressionLayer::new())).await;
    assert_eq!(headers["content-encoding"], "br");
    for place in Place::BOTH {
        let (app, _sources) = place.compose(SseLayer::new(), CompressionLayer::new());
        assert_eq!(json_of(&app).await, (headers.clone(), compressed.clone()), "{place:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn layer_writes_nothing_into_a_compressed_stream() {
    let (app, mut sources) = Place::Inside.compose(writing_layer(), everything());

    let response = call(&app, get_request("/events", &[("accept-encoding", "gzip")])).await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let source = sources.next().await;
    let mut body = response.into_body();
    let mut compressed = Vec::new();
    for data in ["one", "two"] {
        source.send(data);
        while let Polled::Data(frame) = poll_frame(&mut body) {
            compressed.extend(frame);
        }
        for _ in 0..3 {
            advance(Duration::from_secs(10)).await;
            assert_eq!(poll_frame(&mut body), Polled::Pending, "no heartbeat");
        }
    }
    drop(source);
    compressed.extend(body.collect().await.unwrap().to_bytes());
    assert_eq!(gunzip(compressed).await, "data: one\n\ndata: two\n\n");
}
