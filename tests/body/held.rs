//! Failing bodies whose last frame is still held. A compressor drops the frame when it gets the
//! next one, and a server drops it once it is written.

use tower_sse::streams::Streams;

use crate::{rig::*, *};

/// Reads `body` to its failure as a compressor does. Returns the text, and how long the reading
/// took.
async fn compress<B>(mut body: B) -> (String, Duration)
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let (start, mut text, mut kept) = (Instant::now(), String::new(), Bytes::new());
    while let Ok(frame) = soon(body.frame()).await.expect("no clean end") {
        kept = frame.into_data().expect("no trailers");
        text.push_str(str::from_utf8(&kept).unwrap());
    }
    drop(kept);
    (text, start.elapsed())
}

#[derive(Clone, Copy, Debug)]
enum End {
    Error,
    LogOut,
    Shutdown,
}

fn ending(before: &'static str, end: End) -> SseBody<FedBody> {
    let streams = Streams::new();
    let mut request = Requester::Fetch.request("/");
    streams.subjects_of(&mut request).add("user");
    let drain = Drain::at_once().retry(Retry::fixed(SECOND));
    let layer = SseLayer::new().without_heartbeat().farewell(Event::from("bye")).drain(drain);
    let rig = Rig::fed(layer.streams(&streams), request).begin(before.as_bytes());
    match end {
        End::Error => rig.feed.fail("broken"),
        End::LogOut => _ = streams.close("user").now_or_never(),
        End::Shutdown => rig.shutdown.cancel(),
    }
    rig.body
}

/// The last line is a comment, which does not end an event. Mid-line, no comment is sent.
#[tokio::test(start_paused = true)]
async fn failure_follows_within_50_milliseconds_behind_what_keeps_a_frame() {
    for (before, end, last) in [
        ("data: a\n\n", End::Error, ": \n: \n"),
        ("data: a\r\r", End::Error, "\n: \n: \n"),
        ("data: half\n", End::Error, ": \n: \n"),
        ("data: half\r\n", End::Error, ": \n: \n"),
        ("data: half", End::Error, ""),
        ("data: a\n\n", End::LogOut, ": \n: \n"),
        ("data: a\n\n", End::Shutdown, "retry: 1000\ndata: bye\n\n: \n"),
    ] {
        let _case = case(format!("{end:?} after {before:?}"));
        let (text, took) = compress(ending(before, end)).await;
        assert_eq!(text, last);
        assert!(took <= 50 * MILLISECOND, "{took:?}");
    }
}
