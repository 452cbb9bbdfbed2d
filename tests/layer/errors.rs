//! How an error of the source ends its stream.

use std::{error::Error, fmt};

use crate::*;

fn layer() -> SseLayer {
    SseLayer::new().without_heartbeat()
}

/// Returns everything that a body sends from now on, and how it ends.
async fn rest<B>(body: &mut B) -> (String, Polled)
where
    B: http_body::Body<Data = bytes::Bytes, Error: ToString> + Unpin,
{
    let (sent, error) = read_to_end(body).await;
    (sent, error.map_or(Polled::End, |error| failed(&error.to_string())))
}

#[tokio::test(start_paused = true)]
async fn error_drops_the_source_at_once_and_fails_the_body_later() {
    let (feed, mut body) = fed(&layer().terminator(Event::from("[DONE]")));
    feed.data("data: a\n\n");
    feed.fail("broken");
    assert_polls(&mut body, [data("data: a\n\n"), data(":\n")]);
    assert!(feed.is_dropped());
    idle(&mut body, 19 * MILLISECOND).await;
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    assert!(!http_body::Body::is_end_stream(&body));
    time::advance(2 * MILLISECOND).await;
    assert_polls(&mut body, [failed("broken"), Polled::End]);
    assert!(http_body::Body::is_end_stream(&body));
}

/// On HTTP/2 a reset discards what the server has not written yet, the head included.
#[tokio::test(start_paused = true)]
async fn body_fails_once_the_server_has_taken_the_last_bytes() {
    let (feed, mut body) = fed(&layer());
    feed.fail("broken");
    let last = poll_frame(&mut body);
    assert_eq!(last, data(":\n"));
    for _ in 0..9 {
        idle(&mut body, 100 * MILLISECOND).await;
    }
    drop(last);
    idle(&mut body, 21 * MILLISECOND).await;
    assert_eq!(poll_frame(&mut body), failed("broken"));
}

#[tokio::test(start_paused = true)]
async fn last_line_is_written_only_where_a_line_can_start() {
    for (last, expected) in [
        ("data: a\n\n", ":\n"),
        ("data: half\n", ":\n"),
        ("data: a\r\r", "\n:\n"),
        ("data: half", ""),
        (": pi", ""),
    ] {
        let (feed, mut body) = fed(&layer());
        feed.data(last);
        feed.fail("broken");
        assert_eq!(poll_frame(&mut body), data(last));
        assert_eq!(rest(&mut body).await, (expected.to_owned(), failed("broken")), "{last:?}");
    }
}

#[tokio::test]
async fn error_can_become_a_last_event_and_no_terminator_follows() {
    let (feed, mut body) = fed(&layer()
        .terminator(Event::from("[DONE]"))
        .on_error(|error| Event::new().event("error").data(error.to_string())));
    feed.data("data: a\r\r");
    feed.fail("broken");
    assert_polls(&mut body, [data("data: a\r\r"), data("\nevent: error\ndata: broken\n\n")]);
    assert!(feed.is_dropped());
    assert_eq!(poll_frame(&mut body), Polled::End);
}

#[tokio::test(start_paused = true)]
async fn error_fails_the_body_mid_event_and_when_the_closure_panics() {
    for (last, panics, line) in
        [("data: a\n", false, ":\n"), ("data: a", false, ""), ("data: a\n\n", true, ":\n")]
    {
        let (feed, mut body) = fed(&layer().on_error(move |_| {
            assert!(!panics, "the closure panics");
            Event::from("never sent")
        }));
        feed.data(last);
        feed.fail("broken");
        assert_eq!(poll_frame(&mut body), data(last));
        assert_eq!(rest(&mut body).await, (line.to_owned(), failed("broken")));
    }
}

/// Half an answer must not look complete: no error reports that our own client left.
#[tokio::test(start_paused = true)]
async fn error_that_looks_like_a_disconnect_fails_the_body() {
    let errors: [fn() -> BoxError; 5] = [
        || io::Error::from(io::ErrorKind::ConnectionReset).into(),
        || io::Error::from(io::ErrorKind::BrokenPipe).into(),
        || Caused(io::Error::from(io::ErrorKind::ConnectionAborted).into()).into(),
        || h2::Error::from(h2::Reason::CANCEL).into(),
        || tonic::Status::cancelled("timeout").into(),
    ];
    for error in errors {
        for client in Requester::ALL {
            let reports = Reports::default();
            let (feed, mut body) = fed_to(client.request("/"), &reports.observe(layer()));
            feed.data("data: half\n\n");
            feed.fail(error());
            assert_eq!(poll_frame(&mut body), data("data: half\n\n"));
            let (sent, end) = rest(&mut body).await;
            assert_eq!((&*sent, end), (":\n", failed(&error().to_string())), "{client:?}");
            assert_eq!(reports.take(), [CloseReason::Failed]);

            let layer = layer().on_error(|_| Event::from("failed"));
            let (feed, mut body) = fed_to(client.request("/"), &layer);
            feed.fail(error());
            assert_eq!(rest(&mut body).await, ("data: failed\n\n".to_owned(), Polled::End));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn cancelled_task_ends_event_sources_cleanly_and_fails_all_others() {
    for client in Requester::ALL {
        let reports = Reports::default();
        let layer = reports
            .observe(layer())
            .terminator(Event::from("[DONE]"))
            .on_error(|_| panic!("a cancellation is no error"));
        let (feed, mut body) = fed_to(client.request("/"), &layer);
        let error = Caused(io::Error::other(cancelled_task().await).into());
        feed.fail(error);
        let expected = match client {
            Requester::EventSource => (String::new(), Polled::End),
            _ => (":\n".to_owned(), failed("caused")),
        };
        assert_eq!(rest(&mut body).await, expected, "{client:?}");
        assert_eq!(reports.take(), [CloseReason::Cancelled], "{client:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn cancellation_mid_event_or_in_a_coded_stream_fails_the_body() {
    for (coding, last, line) in
        [("identity", "data: half", ""), ("identity", "data: half\n", ":\n"), ("gzip", "x", "")]
    {
        let reports = Reports::default();
        let (feed, source) = Feed::new();
        let answer = event_stream(source).with_header("content-encoding", coding);
        let request = Requester::EventSource.request("/");
        let mut body = answer_to(request, &reports.observe(layer()), answer).into_body();
        feed.data(last);
        feed.fail(Caused(cancelled_task().await.into()));
        assert_eq!(poll_frame(&mut body), data(last));
        assert_eq!(rest(&mut body).await, (line.to_owned(), failed("caused")));
        assert_eq!(reports.take(), [CloseReason::Cancelled]);
    }
}

#[tokio::test(start_paused = true)]
async fn coded_stream_that_fails_gets_no_bytes_and_no_last_event() {
    let (feed, source) = Feed::new();
    let response = event_stream(source).with_header("content-encoding", "gzip");
    let layer = layer().on_error(|_| Event::from("never sent"));
    let mut body = through(&layer, response).into_body();
    feed.fail("broken");
    assert_eq!(rest(&mut body).await, (String::new(), failed("broken")));
}

#[tokio::test(start_paused = true)]
async fn additional_errors_can_be_treated_as_cancellations() {
    let reports = Reports::default();
    let layer = reports
        .observe(layer())
        .cancellation_if(|error| {
            assert!(!error.is::<fmt::Error>(), "a panic counts as false");
            error.is::<Caused>()
        })
        .cancellation_if(<dyn Error>::is::<std::num::ParseIntError>);
    for (error, expected) in [
        (Caused("left".into()).into(), CloseReason::Cancelled),
        ("x".parse::<u8>().unwrap_err().into(), CloseReason::Cancelled),
        (BoxError::from("broken"), CloseReason::Failed),
        (fmt::Error.into(), CloseReason::Failed),
        (io::Error::from(io::ErrorKind::BrokenPipe).into(), CloseReason::Failed),
    ] {
        let (feed, mut body) = fed_to(Requester::EventSource.request("/"), &layer);
        feed.fail(error);
        let (_, end) = rest(&mut body).await;
        assert_eq!(end == Polled::End, expected == CloseReason::Cancelled);
        assert_eq!(reports.take(), [expected]);
    }
}

/// A clean end without a word would make half of an answer look complete.
#[tokio::test(start_paused = true)]
async fn error_that_becomes_no_event_fails_the_body() {
    for (event, expected) in [
        (Event::new(), (":\n", failed("broken"))),
        (Event::new().comment("failed"), (":\n", failed("broken"))),
        (Event::new().event("failed"), ("event: failed\ndata: \n\n", Polled::End)),
    ] {
        let (feed, mut body) = fed(&layer().on_error(move |_| event.clone()));
        feed.fail("broken");
        let (sent, end) = rest(&mut body).await;
        assert_eq!((&*sent, end), expected);
    }
}
