use http::HeaderMap;

use crate::*;

#[tokio::test]
async fn head_and_every_event_arrive_before_the_next_is_made() {
    for host in Host::ALL {
        let (mut sources, handler) = streams();
        let mut client = host.connect(host.serve(handler).await).await;

        // Nothing was sent yet: the head arrives alone.
        let response = client.get("/events").await;
        assert_eq!(response.headers()["cache-control"], "no-cache, no-transform", "{host:?}");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        assert_eq!(response.headers()["incremental"], "?1");
        let source = sources.next().await;
        let mut events = EventReader::new(response);
        for data in ["one", "two", "three"] {
            source.send(data);
            assert_eq!(events.next().await.unwrap().data, data, "{host:?}");
        }
    }
}

#[tokio::test]
async fn clean_end_leaves_the_connection_usable() {
    for host in Host::ALL {
        let mut server = Fed::serve(host).await;
        for data in ["one", "two", "three"] {
            let (events, source) = server.open().await;
            source.send(data);
            source.end();
            let events: Vec<_> = events.rest().await.into_iter().map(|event| event.data).collect();
            assert_eq!(events, [data], "{host:?}");
        }
    }
}

/// On HTTP/2 they would make the whole response invalid.
#[tokio::test]
async fn hop_by_hop_headers_are_removed() {
    for host in Host::ALL {
        let (mut sources, handler) = streams();
        let handler = move |parts| {
            handler(parts)
                .with_header("connection", "keep-alive")
                .with_header("keep-alive", "timeout=5")
        };
        let mut client = host.connect(host.serve(handler).await).await;

        let response = client.get("/events").await;
        for name in ["connection", "keep-alive"] {
            assert!(!response.headers().contains_key(name), "{host:?}: {name}");
        }
        let source = sources.next().await;
        let mut events = EventReader::new(response);
        source.send("one");
        assert_eq!(events.next().await.unwrap().data, "one");
    }
}

#[tokio::test]
async fn head_request_gets_the_headers_of_a_get_and_no_stream() {
    /// Removes the headers that the server adds for one connection.
    fn of_the_response(headers: &HeaderMap) -> HeaderMap {
        let mut headers = headers.clone();
        headers.remove("date");
        headers.remove("transfer-encoding");
        headers
    }

    for host in Host::ALL {
        let (mut sources, handler) = streams();
        let mut client = host.connect(host.serve(handler).await).await;

        let head = client.send(Request::head("/events").body(Full::default()).unwrap()).await;
        // Its stream is dropped at once, although it has not ended.
        sources.next().await.dropped().await;
        assert!(!head.headers().contains_key("content-length"), "{host:?}");
        let head_headers = of_the_response(head.headers());
        assert!(EventReader::new(head).rest().await.is_empty());

        let get = client.get("/events").await;
        assert_eq!(head_headers, of_the_response(get.headers()), "{host:?}");
        sources.next().await.send("one");
        assert_eq!(EventReader::new(get).next().await.unwrap().data, "one", "{host:?}");
    }
}
