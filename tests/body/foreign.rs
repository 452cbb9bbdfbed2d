use crate::*;

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
    for method in [Method::GET, Method::HEAD] {
        let request = || Request::builder().method(method.clone()).body(()).unwrap();
        let options = StreamOptions::new().padding(9).terminator(Event::from("end"));
        let answer = page(Full::from("a page")).with_options(options);
        let response = answer_to(request(), &writing_layer(), answer);
        assert_eq!(response.headers(), page(()).headers());
        assert_eq!(response.body().size_hint().exact(), Some(6));
        assert!(!response.body().is_end_stream());
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "a page");

        let empty = Response::new(Empty::<Bytes>::new());
        let response = answer_to(request(), &writing_layer(), empty);
        assert!(response.headers().is_empty());
        assert_eq!(response.body().size_hint().exact(), Some(0));
        assert!(response.body().is_end_stream());
    }
}

struct Bounded;

impl Body for Bounded {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(None)
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

/// In an event stream, heartbeats would have come, and the error would be delayed.
#[tokio::test(start_paused = true)]
async fn frames_trailers_and_errors_of_a_foreign_body_pass_without_delay() {
    let (feed, body) = Feed::new();
    let mut body = through(&writing_layer(), page(body)).into_body();
    for _ in 0..3 {
        idle(&mut body, 60 * SECOND).await;
    }
    feed.data("");
    feed.data(": no comment\n");
    let trailers = checksum();
    feed.trailers(trailers.clone());
    assert_eq!(poll_frame(&mut body), Polled::Data(Bytes::new()));
    assert_polls(&mut body, [Polled::Data(": no comment\n".into()), Polled::Trailers(trailers)]);
    feed.fail(io::Error::other("disk full"));
    assert_eq!(poll_frame(&mut body), failed("disk full"));
}

// Responses that cannot have a body: to HEAD, and with status 1xx, 204 and 304.

const STATUSES: [u16; 5] = [100, 101, 103, 204, 304];

#[tokio::test]
async fn response_whose_status_forbids_a_body_is_unchanged() {
    for status in STATUSES {
        let answer = || {
            Response::builder()
                .status(status)
                .header("content-type", "text/event-stream; charset=utf-8")
                .header("content-length", "6")
                .header("etag", "\"7\"")
        };
        let layer = SseLayer::new().padding(4);
        let response = through(&layer, answer().body(Full::from("a body")).unwrap());
        assert_eq!(response.status(), status);
        assert_eq!(Some(response.headers()), answer().headers_ref());
        assert_eq!(response.body().size_hint().exact(), Some(6));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "a body");
    }
}

#[tokio::test]
async fn response_of_a_stream_keeps_its_headers_and_has_no_body() {
    for status in STATUSES {
        let answer = || Response::builder().status(status).header("etag", "\"7\"");
        let never = stream::poll_fn::<Event, _>(|_| panic!("no client can be sent an event"));
        let response = through(&SseLayer::new().padding(4), answer().body(never).unwrap());
        assert_eq!(response.status(), status);
        assert!(response.body().is_end_stream(), "{status}");
        assert_eq!(response.body().size_hint().exact(), Some(0));
        assert_eq!(Some(response.headers()), answer().headers_ref(), "{status}");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "");
    }
}

#[tokio::test]
async fn response_to_a_head_request_has_no_content_length() {
    let (feed, body) = Feed::new();
    let request = Request::head("/").body(()).unwrap();
    let options = StreamOptions::new().terminator(Event::from("[DONE]"));
    let layer = SseLayer::new().padding(4).options(options);
    let answer = event_stream(body).with_header("content-length", "6");
    let head = answer_to(request, &layer, answer);
    assert_eq!((feed.is_dropped(), feed.polls()), (true, 0), "the source is let go of unpolled");
    let get = through(&layer, event_stream(Full::<Bytes>::default()));
    assert_eq!(head.headers(), get.headers());
    assert_eq!(head.body().size_hint().exact(), None);
    assert_eq!(poll_frame(&mut head.into_body()), Polled::End);
}

#[test]
fn head_request_polls_no_stream_of_any_service() {
    let never = || stream::poll_fn::<Event, _>(|_| panic!("no client can be sent an event"));
    let head = || Request::head("/").body(()).unwrap();
    let response = answer_to(head(), &SseLayer::new().padding(4), Response::new(never()));
    let bare = answer_to(head(), &SseLayer::new().padding(4), never());
    for response in [response, bare] {
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.body().size_hint().exact(), None);
        assert_eq!(poll_frame(&mut response.into_body()), Polled::End);
    }
}

#[tokio::test]
async fn every_other_method_gets_a_stream() {
    for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH] {
        let request = Request::builder().method(method).body(()).unwrap();
        let response = answer_to(request, &SseLayer::new(), event_stream(Full::from("data:\n\n")));
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "data:\n\n");
    }
}
