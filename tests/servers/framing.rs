use crate::*;

const EVENTS: &str = "data: one\n\ndata: two\n\n";

#[tokio::test]
async fn stream_has_no_content_length_though_its_size_is_known() {
    for host in Host::ALL {
        for has_header in [false, true] {
            let handler = move |_| {
                let mut response = event_stream(Body::new(Full::from(EVENTS)));
                if has_header {
                    response.headers_mut().insert("content-length", EVENTS.len().into());
                }
                response
            };
            let layer = SseLayer::new().terminator(Event::from("[DONE]"));
            let mut client = host.connect(host.serve_with(Some(layer), handler).await).await;

            let response = client.get("/events").await;
            let headers = response.headers();
            assert!(!headers.contains_key("content-length"), "{host:?}");
            let chunked = (!host.is_h2()).then_some("chunked");
            assert_eq!(
                headers.get("transfer-encoding").map(|value| value.to_str().unwrap()),
                chunked
            );
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, format!("{EVENTS}data: [DONE]\n\n"), "{host:?}");
        }
    }
}

#[tokio::test]
async fn other_responses_keep_their_content_length() {
    for host in Host::ALL {
        let handler = |_| Response::new(Body::new(Full::from("a page")));
        let mut client = host.connect(host.serve(handler).await).await;

        for request in [Request::get("/"), Request::head("/")] {
            let response = client.send(request.body(Full::default()).unwrap()).await;
            assert_eq!(response.headers()["content-length"], "6", "{host:?}");
            assert!(!response.headers().contains_key("cache-control"));
        }
    }
}

#[tokio::test]
async fn trailers_of_the_source_come_after_the_terminator() {
    for host in Host::ALL {
        let handler = |_| {
            let frames =
                [Frame::data(Bytes::from_static(EVENTS.as_bytes())), Frame::trailers(checksum())];
            let body = StreamBody::new(stream::iter(frames.map(Ok::<_, BoxError>)));
            // hyper writes only the trailers announced here, and only if the client wants any.
            event_stream(Body::new(body)).with_header("trailer", "x-checksum")
        };
        let layer = SseLayer::new().terminator(Event::from("[DONE]"));
        let mut client = host.connect(host.serve_with(Some(layer), handler).await).await;

        let request = Request::get("/events").header("te", "trailers");
        let response = client.send(request.body(Full::default()).unwrap()).await;
        let collected = response.into_body().collect().await.unwrap();
        let trailers = collected.trailers().expect("trailers").clone();
        assert_eq!(trailers["x-checksum"], "7", "{host:?}");
        assert_eq!(collected.to_bytes(), format!("{EVENTS}data: [DONE]\n\n"), "{host:?}");
    }
}
