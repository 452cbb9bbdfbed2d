//! A failing stream does not affect the others on its HTTP/2 connection. Peers count what looks
//! like a flood, such as frames without bytes, for the whole connection.

use tokio_util::sync::CancellationToken;
use tower_sse::{Drain, StreamOptions};

use crate::*;

/// More than the hundred empty frames that h2 accepts on a connection.
const STREAMS: usize = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_number_of_streams_may_fail_one_after_another() {
    // Each failure is delayed for some milliseconds, which add up: hence both hosts concurrently.
    join_all([Host::AxumH2, Host::HyperH2].map(async |host| {
        let handler = |_| {
            let items = [Ok(Event::from("one")), Err(io::Error::other("disk full"))];
            tower_sse::response(stream::iter(items)).map(Body::new)
        };
        let mut client = host.connect(host.serve(handler).await).await;
        for _ in 0..STREAMS {
            let mut body = client.get("/events").await.into_body();
            let first = soon(body.frame()).await.unwrap().unwrap();
            assert_eq!(first.into_data().unwrap(), "data: one\n\n");
            let last = soon(body.frame()).await.unwrap().unwrap();
            assert_eq!(last.into_data().unwrap(), ":\n");
            soon(body.frame()).await.unwrap().unwrap_err();
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_cut_at_once_do_not_affect_another_stream() {
    for host in [Host::AxumH2, Host::HyperH2] {
        let shutdown = CancellationToken::new();
        let layer = SseLayer::new().shutdown(shutdown.clone()).drain(Drain::at_once());
        let goes_on = CancellationToken::new();
        let handler = {
            let goes_on = goes_on.clone();
            move |parts: http::request::Parts| {
                let goes_on = goes_on.clone();
                let last = stream::once(async move { goes_on.cancelled_owned().await })
                    .map(|()| Event::from("last"));
                let events = stream::iter([Event::from("first")]).chain(last);
                let response = tower_sse::response(events).map(Body::new);
                match parts.uri.path() {
                    "/bystander" => {
                        response.with_options(StreamOptions::new().drain(Drain::never()))
                    }
                    _ => response,
                }
            }
        };
        let mut client = host.connect(host.serve_with(Some(layer), handler).await).await;
        let mut bystander = EventReader::new(client.get("/bystander").await);
        assert_eq!(bystander.next().await.unwrap().data, "first");
        let mut calls = Vec::new();
        for _ in 0..STREAMS {
            let call = Request::post("/call").body(Full::default()).unwrap();
            let mut body = client.send(call).await.into_body();
            soon(body.frame()).await.unwrap().unwrap();
            calls.push(body);
        }
        shutdown.cancel();
        for mut body in calls {
            while let Some(Ok(_)) = soon(body.frame()).await {}
        }
        goes_on.cancel();
        assert_eq!(bystander.next().await.unwrap().data, "last", "{host:?}");
        assert!(bystander.next().await.is_none());
    }
}
