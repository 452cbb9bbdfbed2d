//! `Disconnect` for responses that are not event streams.

use super::{disconnect::respond, *};
use crate::*;

fn tracking() -> SseLayer {
    SseLayer::new().track_disconnects(true)
}

fn page<B: Body<Data = Bytes, Error: Into<tower_sse::BoxError>>>(
    body: B,
) -> (SseBody<B>, Disconnect) {
    let answer = Response::new(body).with_header("content-type", "text/html");
    let (response, disconnect) = answer_and_disconnect(&tracking(), answer);
    (response.into_body(), disconnect.unwrap())
}

fn fed_page() -> (Feed, SseBody<FedBody>, Disconnect) {
    let (feed, body) = Feed::new();
    let (body, disconnect) = page(body);
    (feed, body, disconnect)
}

#[test]
fn empty_response_ends_however_often_it_is_polled() {
    for polls in 0..3 {
        let (mut body, disconnect) = page(Empty::new());
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
        for _ in 0..polls {
            assert_eq!(poll_frame(&mut body), Polled::End);
        }
        drop(body);
        assert!(disconnect.is_cancelled(), "{polls} polls");
    }
}

#[test]
fn client_that_leaves_before_the_end_is_disconnected() {
    let (body, disconnect) = page(Full::from("a page"));
    drop(body);
    assert!(disconnect.is_cancelled(), "never polled");

    let (feed, mut body, disconnect) = fed_page();
    feed.passes("half of ", &mut body);
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    assert!(!disconnect.is_cancelled());
    drop(body);
    assert!(feed.is_dropped());
    assert!(disconnect.is_cancelled(), "half exit");
}

#[test]
fn body_that_panics_is_over_even_if_it_is_dropped_later() {
    for later in [false, true] {
        let frames = stream::poll_fn::<io::Result<Frame<Bytes>>, _>(|_| panic!("in the body"));
        let (body, disconnect) = page(StreamBody::new(frames));
        let mut body = Some(body);
        let panicking = || match later {
            true => poll_frame(body.as_mut().unwrap()),
            false => poll_frame(&mut { body.take().unwrap() }),
        };
        catch_unwind(AssertUnwindSafe(panicking)).unwrap_err();
        drop(body);
        assert!(disconnect.is_cancelled(), "later {later}");
    }
}

/// Servers neither send nor poll such a body.
#[test]
fn response_that_cannot_have_a_body_is_over_at_its_head() {
    for status in [100, 101, 103, 204, 304] {
        let answer = Response::builder().status(status).body(Feed::new().1).unwrap();
        let (response, disconnect) = answer_and_disconnect(&tracking(), answer);
        assert_eq!(response.status(), status);
        assert!(disconnect.unwrap().is_cancelled(), "{status}");
    }
    // A service whose response bodies are streams can answer with a 204, too.
    let answer = Response::new(Source::new().1).with_status(204);
    let (_, disconnect) = answer_and_disconnect(&SseLayer::new().track_disconnects(true), answer);
    assert!(disconnect.unwrap().is_cancelled());
    for content_type in ["text/html", "text/event-stream"] {
        let request = Request::head("/").body(()).unwrap();
        let answer = Response::new(Feed::new().1).with_header("content-type", content_type);
        let (response, disconnect) = respond(&tracking(), request, answer);
        assert_eq!(response.status(), StatusCode::OK);
        assert!(disconnect.unwrap().is_cancelled(), "{content_type}");
    }
}
