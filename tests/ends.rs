//! How a stream begins and ends: preamble, terminator, trailers, errors.

mod support;

use std::{
    error::Error,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::HeaderMap;
use http_body::Body;
use tokio::time;
use tower_sse::{Event, Heartbeat, Retry, SseLayer, is_cancellation};

use support::{Feed, Polled, body::data, event_stream, poll_frame, through};

const MILLISECOND: Duration = Duration::from_millis(1);

fn layer() -> SseLayer {
    SseLayer::new().heartbeat(Heartbeat::off())
}

#[tokio::test]
async fn the_reconnection_time_is_sent_at_once_as_a_lone_line() {
    let (_feed, source) = Feed::new();
    let layer = layer().retry(Retry::fixed(Duration::from_millis(2500)));
    let mut body = through(&layer, event_stream(source)).into_body();
    assert_eq!(poll_frame(&mut body), data("retry: 2500\n"));
    assert_eq!(poll_frame(&mut body), Polled::Pending);
}

#[tokio::test]
async fn a_reconnection_time_from_a_range_is_drawn_for_every_stream() {
    let layer = layer().retry(Retry::between(Duration::from_millis(10), Duration::from_millis(12)));
    let mut drawn = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let (_feed, source) = Feed::new();
        let mut body = through(&layer, event_stream(source)).into_body();
        let Polled::Data(line) = poll_frame(&mut body) else { panic!("no preamble") };
        drawn.insert(line);
    }
    assert_eq!(
        drawn.into_iter().collect::<Vec<_>>(),
        ["retry: 10\n", "retry: 11\n", "retry: 12\n"]
    );
}

#[test]
#[should_panic(expected = "the least reconnection time cannot be greater than the greatest")]
fn a_reconnection_time_from_a_range_the_wrong_way_round_panics() {
    let _ = Retry::between(Duration::from_secs(2), Duration::from_secs(1));
}

#[tokio::test]
async fn padding_is_a_comment_line_of_just_so_many_bytes() {
    for (bytes, expected) in [(2048, 2048), (3, 3), (2, 2), (1, 2)] {
        let (_feed, source) = Feed::new();
        let mut body = through(&layer().padding(bytes), event_stream(source)).into_body();
        let Polled::Data(line) = poll_frame(&mut body) else { panic!("no preamble") };
        assert_eq!(line.len(), expected);
        assert!(line.starts_with(b":") && line.ends_with(b"\n"));
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(poll_frame(&mut body), Polled::Pending);
    }
}

#[test]
#[should_panic(expected = "a stream cannot start with more than 64 KiB of padding")]
fn padding_beyond_64_kib_panics() {
    let _ = layer().padding(65_537);
}

#[tokio::test]
async fn reconnection_time_and_padding_are_one_frame() {
    let (_feed, source) = Feed::new();
    let layer = layer().padding(4).retry(Retry::fixed(Duration::from_secs(1)));
    let mut body = through(&layer, event_stream(source)).into_body();
    assert_eq!(poll_frame(&mut body), data("retry: 1000\n:  \n"));
}

#[tokio::test]
async fn a_terminator_follows_the_sources_own_clean_end() {
    for (last, expected) in [
        (None, data("data: [DONE]\n\n")),
        (Some("data: a\n\n"), data("data: [DONE]\n\n")),
        (Some("data: a\r\n\r"), data("\ndata: [DONE]\n\n")),
        (Some(": ping\n"), data("data: [DONE]\n\n")),
        (Some("data: a\n"), Polled::End),
        (Some("data: a"), Polled::End),
        (Some(": pi"), Polled::End),
    ] {
        let (feed, source) = Feed::new();
        let layer = layer().terminator(Event::from("[DONE]"));
        let mut body = through(&layer, event_stream(source)).into_body();
        if let Some(last) = last {
            feed.data(last);
            assert_eq!(poll_frame(&mut body), data(last));
        }
        feed.end();
        assert_eq!(poll_frame(&mut body), expected, "after {last:?}");
        assert_eq!(poll_frame(&mut body), Polled::End);
    }
}

#[tokio::test]
async fn trailers_wait_for_the_terminator() {
    let (feed, source) = Feed::new();
    let layer = layer().terminator(Event::from("[DONE]"));
    let mut body = through(&layer, event_stream(source)).into_body();
    let trailers = HeaderMap::from_iter([("x-checksum".parse().unwrap(), "7".parse().unwrap())]);
    feed.trailers(trailers.clone());
    assert_eq!(poll_frame(&mut body), data("data: [DONE]\n\n"));
    assert!(feed.is_dropped(), "the source goes as soon as the end is decided");
    assert!(!body.is_end_stream());
    assert_eq!(poll_frame(&mut body), Polled::Trailers(trailers));
    assert!(body.is_end_stream());
    assert_eq!(poll_frame(&mut body), Polled::End);
}

#[tokio::test]
async fn a_stream_is_not_at_its_end_before_the_last_byte_is_out() {
    let layer = layer().terminator(Event::from("[DONE]"));
    let source = http_body_util::Full::new(bytes::Bytes::from_static(b"data: a\n\n"));
    let mut body = through(&layer, event_stream(source)).into_body();
    let hint =
        |body: &dyn Body<Data = _, Error = _>| (body.is_end_stream(), body.size_hint().exact());
    assert_eq!(hint(&body), (false, None));
    assert_eq!(poll_frame(&mut body), data("data: a\n\n"));
    assert_eq!(hint(&body), (false, None));
    assert_eq!(poll_frame(&mut body), data("data: [DONE]\n\n"));
    assert_eq!(poll_frame(&mut body), Polled::End);
    assert_eq!(hint(&body), (true, Some(0)));
}

#[tokio::test(start_paused = true)]
async fn an_error_fails_the_body_after_20_milliseconds_and_drops_the_source_at_once() {
    let (feed, source) = Feed::new();
    let layer = layer().terminator(Event::from("[DONE]"));
    let mut body = through(&layer, event_stream(source)).into_body();
    feed.data("data: a\n\n");
    feed.fail("broken");
    assert_eq!(poll_frame(&mut body), data("data: a\n\n"));
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    assert!(feed.is_dropped());
    time::advance(19 * MILLISECOND).await;
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    assert!(!body.is_end_stream());
    time::advance(2 * MILLISECOND).await;
    assert_eq!(poll_frame(&mut body), Polled::Failed("broken".to_owned()));
    assert_eq!(poll_frame(&mut body), Polled::End);
    assert!(body.is_end_stream());
}

#[tokio::test]
async fn an_error_can_become_a_last_event_and_no_terminator_follows() {
    let (feed, source) = Feed::new();
    let layer = layer()
        .terminator(Event::from("[DONE]"))
        .on_error(|error| Event::new().event("error").data(error.to_string()));
    let mut body = through(&layer, event_stream(source)).into_body();
    feed.data("data: a\r\r");
    feed.fail("broken");
    assert_eq!(poll_frame(&mut body), data("data: a\r\r"));
    assert_eq!(poll_frame(&mut body), data("\nevent: error\ndata: broken\n\n"));
    assert!(feed.is_dropped());
    assert_eq!(poll_frame(&mut body), Polled::End);
}

#[tokio::test(start_paused = true)]
async fn within_an_event_or_when_the_closure_panics_an_error_fails_the_body() {
    for (last, panics) in [("data: a\n", false), ("data: a", false), ("data: a\n\n", true)] {
        let (feed, source) = Feed::new();
        let layer = layer().on_error(move |_| {
            assert!(!panics, "the closure panics");
            Event::from("never sent")
        });
        let mut body = through(&layer, event_stream(source)).into_body();
        feed.data(last);
        feed.fail("broken");
        assert_eq!(poll_frame(&mut body), data(last));
        assert_eq!(poll_frame(&mut body), Polled::Pending);
        time::advance(21 * MILLISECOND).await;
        assert_eq!(poll_frame(&mut body), Polled::Failed("broken".to_owned()));
    }
}

#[tokio::test]
async fn an_error_that_says_that_somebody_left_is_a_clean_end() {
    let (feed, source) = Feed::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let layer = layer().terminator(Event::from("[DONE]")).on_error(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Event::from("error")
    });
    let mut body = through(&layer, event_stream(source)).into_body();
    feed.fail(io::Error::from(io::ErrorKind::ConnectionReset));
    assert_eq!(poll_frame(&mut body), Polled::End);
    assert!(feed.is_dropped());
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_left_amid_an_event_fails_the_body_for_some_clients_would_take_half_for_whole() {
    for last in ["data: half", "data: half\n"] {
        let (feed, source) = Feed::new();
        let mut body = through(&layer(), event_stream(source)).into_body();
        feed.data(last);
        feed.fail(io::Error::from(io::ErrorKind::ConnectionReset));
        assert_eq!(poll_frame(&mut body), data(last));
        assert_eq!(poll_frame(&mut body), Polled::Pending);
        time::advance(21 * MILLISECOND).await;
        assert!(matches!(poll_frame(&mut body), Polled::Failed(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_compressed_stream_that_breaks_off_fails_for_nobody_knows_where_it_stands() {
    let (feed, source) = Feed::new();
    let mut response = event_stream(source);
    response.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    let layer = layer().on_error(|_| Event::from("never sent"));
    let mut body = through(&layer, response).into_body();
    feed.fail(io::Error::from(io::ErrorKind::ConnectionReset));
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    time::advance(21 * MILLISECOND).await;
    assert!(matches!(poll_frame(&mut body), Polled::Failed(_)));
}

#[derive(Debug)]
struct Outer(Box<dyn Error + Send + Sync>);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("outer")
    }
}

impl Error for Outer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn further_errors_can_be_classified() {
    let layer = layer()
        .classify_with(|error| {
            assert!(!error.is::<fmt::Error>(), "a panic says no");
            error.is::<Outer>()
        })
        .classify_with(<dyn Error>::is::<std::num::ParseIntError>);
    for (error, expected) in [
        (Outer("left".into()).into(), Polled::End),
        ("x".parse::<u8>().unwrap_err().into(), Polled::End),
        (Box::<dyn Error + Send + Sync>::from("broken"), Polled::Failed("broken".to_owned())),
        (fmt::Error.into(), Polled::Failed(fmt::Error.to_string())),
        (io::Error::from(io::ErrorKind::BrokenPipe).into(), Polled::End),
    ] {
        let (feed, source) = Feed::new();
        let mut body = through(&layer, event_stream(source)).into_body();
        feed.fail(error);
        let mut polled = poll_frame(&mut body);
        if polled == Polled::Pending {
            time::advance(21 * MILLISECOND).await;
            polled = poll_frame(&mut body);
        }
        assert_eq!(polled, expected);
    }
}

#[tokio::test]
async fn cancellations_are_found_beneath_other_errors() {
    for kind in [
        io::ErrorKind::BrokenPipe,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::NotConnected,
    ] {
        assert!(is_cancellation(&io::Error::from(kind)));
        assert!(is_cancellation(&io::Error::other(io::Error::from(kind))));
        assert!(is_cancellation(&Outer(Box::new(io::Error::other(Outer(Box::new(
            io::Error::from(kind)
        )))))));
        assert!(is_cancellation(&axum::Error::new(io::Error::from(kind))));
    }
    for kind in [io::ErrorKind::TimedOut, io::ErrorKind::UnexpectedEof, io::ErrorKind::Other] {
        assert!(!is_cancellation(&io::Error::from(kind)));
    }

    let task = tokio::spawn(std::future::pending::<()>());
    task.abort();
    assert!(is_cancellation(&task.await.unwrap_err()));
    let task = tokio::spawn(async { panic!("not a cancellation") });
    assert!(!is_cancellation(&task.await.unwrap_err()));
}

#[cfg(feature = "tonic")]
#[test]
fn tonics_cancelled_is_a_cancellation() {
    assert!(is_cancellation(&tonic::Status::cancelled("")));
    assert!(!is_cancellation(&tonic::Status::unavailable("")));
}

#[cfg(feature = "hyper")]
mod hyper_errors {
    use bytes::Bytes;
    use http::Request;
    use http_body_util::{BodyExt, Full};
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tower_sse::is_cancellation;

    /// A client whose upstream answers `answer` and closes the connection.
    async fn client_of(answer: &'static [u8]) -> http1::SendRequest<Full<Bytes>> {
        let (client, mut upstream) = tokio::io::duplex(1024);
        let (sender, connection) = http1::handshake(TokioIo::new(client)).await.unwrap();
        tokio::spawn(connection);
        tokio::spawn(async move {
            let _ = upstream.read(&mut [0; 1024]).await.unwrap();
            upstream.write_all(answer).await.unwrap();
        });
        sender
    }

    #[tokio::test]
    async fn an_upstream_that_breaks_off_before_its_answer_has_left() {
        let mut sender = client_of(b"HTTP/1.1 2").await;
        let error = sender.send_request(Request::new(Full::default())).await.unwrap_err();
        assert!(error.is_incomplete_message() && is_cancellation(&error));

        let error = sender.send_request(Request::new(Full::default())).await.unwrap_err();
        assert!(error.is_canceled() && is_cancellation(&error));
    }

    #[tokio::test]
    async fn an_upstream_that_breaks_off_within_its_body_has_failed() {
        let mut sender = client_of(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ndata").await;
        let response = sender.send_request(Request::new(Full::default())).await.unwrap();
        let error = response.into_body().collect().await.unwrap_err();
        assert!(!is_cancellation(&error));
    }

    #[test]
    fn an_http_2_stream_reset_with_cancel_has_left() {
        assert!(is_cancellation(&h2::Error::from(h2::Reason::CANCEL)));
        assert!(!is_cancellation(&h2::Error::from(h2::Reason::INTERNAL_ERROR)));
    }
}
