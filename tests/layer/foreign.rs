use http_body::SizeHint;
use http_body_util::Empty;

use crate::*;

/// A layer with every option that writes into a stream.
fn writing_layer() -> SseLayer {
    SseLayer::new().padding(4).terminator(Event::from("[DONE]")).on_error(|_| Event::from("failed"))
}

fn page<B>(body: B) -> Response<B> {
    Response::new(body)
        .with_header("content-type", "text/html")
        .with_header("content-length", "6")
        .with_header("etag", "\"7\"")
        .with_header("accept-ranges", "bytes")
}

#[tokio::test]
async fn other_responses_keep_their_head_and_size() {
    let response = through(&writing_layer(), page(Full::from("a page")));
    assert_eq!(response.headers(), page(()).headers());
    assert_eq!(response.body().size_hint().exact(), Some(6));
    assert!(!response.body().is_end_stream());
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "a page");

    let response = through(&writing_layer(), Response::new(Empty::<Bytes>::new()));
    assert!(response.headers().is_empty());
    assert_eq!(response.body().size_hint().exact(), Some(0));
    assert!(response.body().is_end_stream());
}

struct Bounded;

impl Body for Bounded {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<io::Result<http_body::Frame<Bytes>>>> {
        std::task::Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(3);
        hint.set_upper(9);
        hint
    }
}

#[test]
fn size_and_end_of_a_foreign_body_are_passed_on() {
    let body: SseBody<Bounded> = through(&writing_layer(), page(Bounded)).into_body();
    assert_eq!((body.size_hint().lower(), body.size_hint().upper()), (3, Some(9)));
    assert!(body.is_end_stream());
}

/// A delayed error would still be pending.
#[tokio::test(start_paused = true)]
async fn frames_trailers_and_errors_of_a_foreign_body_pass_without_delay() {
    let (feed, body) = Feed::new();
    let mut body = through(&writing_layer(), page(body)).into_body();
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    feed.data("");
    feed.data(": no comment\n");
    let trailers = checksum();
    feed.trailers(trailers.clone());
    assert_eq!(poll_frame(&mut body), Polled::Data(Bytes::new()));
    assert_polls(&mut body, [Polled::Data(": no comment\n".into()), Polled::Trailers(trailers)]);
    feed.fail(io::Error::other("disk full"));
    assert_eq!(poll_frame(&mut body), failed("disk full"));
}

#[tokio::test(start_paused = true)]
async fn silent_foreign_body_gets_no_heartbeat() {
    let (_feed, body) = Feed::new();
    let mut body = through(&writing_layer(), page(body)).into_body();
    for _ in 0..3 {
        idle(&mut body, std::time::Duration::from_secs(60)).await;
    }
}

#[tokio::test]
async fn stream_options_do_not_change_other_responses() {
    let options = StreamOptions::new().padding(9).terminator(Event::from("end"));
    let answer = page(Full::from("a page")).with_options(options);
    let response = through(&SseLayer::new(), answer);
    assert_eq!(response.headers(), page(()).headers());
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "a page");
}
