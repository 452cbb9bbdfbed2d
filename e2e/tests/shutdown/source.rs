//! Sources of streams. A [`Source`] never ends by itself, and a test ends each [`Feed`].

use crate::*;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Source {
    Idle,
    Busy,
    ForeignIdle,
    /// None of the stream's frames ends between events.
    ForeignBusy,
    /// Mid-event at the start of a line, in an event that is never completed.
    AtLineStart,
    InsideLine,
}

/// Long, because h2 ends a connection on which too many small frames arrive.
const BUSY: &str = match str::from_utf8(&[b'b'; 500]) {
    Ok(busy) => busy,
    Err(_) => unreachable!(),
};

impl Source {
    pub(crate) const ALL: [Self; 6] = [
        Self::Idle,
        Self::Busy,
        Self::ForeignIdle,
        Self::ForeignBusy,
        Self::AtLineStart,
        Self::InsideLine,
    ];

    pub(crate) fn path(self) -> String {
        format!("/{self:?}")
    }

    pub(crate) fn at(path: &str) -> Self {
        Self::ALL.into_iter().find(|source| source.path() == path).expect("the path of a source")
    }

    /// Answers with this source. Busy sources send something at every `period`; without a period,
    /// they are always ready.
    pub(crate) fn answer(self, period: Option<Duration>) -> Response<Body> {
        match self {
            Self::Idle => {
                let hello = stream::iter([Event::from("hello")]);
                tower_sse::response(hello.chain(stream::pending())).map(Body::new)
            }
            Self::Busy => {
                tower_sse::response(ticks(period).map(|()| Event::from(BUSY))).map(Body::new)
            }
            Self::ForeignIdle => foreign("data: hello\n\n", stream::pending()),
            Self::ForeignBusy => {
                foreign("data: ", ticks(period).map(|()| [BUSY, "\n\ndata: "].concat()))
            }
            Self::AtLineStart => foreign("data: half\n", stream::pending()),
            Self::InsideLine => foreign("data: half", stream::pending()),
        }
    }

    pub(crate) const fn is_mid_event(self) -> bool {
        matches!(self, Self::AtLineStart | Self::InsideLine)
    }

    /// Asserts what `client` received of a drained stream.
    pub(crate) fn assert_drained(self, client: Requester, end: &End) {
        const RETRY: &str = "retry: 1234\n";
        let bytes = end.bytes.as_slice();
        let goodbye = [RETRY, "event: restart\ndata: soon\n\n"].concat();
        let what = format!(
            "{self:?}, {client:?}, failed {}: …{}",
            end.failed,
            bytes[bytes.len().saturating_sub(200)..].escape_ascii()
        );
        match self {
            Self::Idle | Self::ForeignIdle => {
                let bytes = bytes.strip_suffix(b": \n").unwrap_or(bytes);
                assert_eq!(bytes, ["data: hello\n\n", &goodbye].concat().as_bytes(), "{what}");
            }
            Self::Busy | Self::ForeignBusy => {
                let event = ["data: ", BUSY, "\n\n"].concat().into_bytes();
                // If a busy server has not written the last bytes yet, the layer sends a comment
                // behind them before the body fails.
                let bytes = bytes.strip_suffix(b": \n").unwrap_or(bytes);
                let events = bytes.strip_suffix(goodbye.as_bytes()).expect(&what);
                assert!(events == event.repeat(events.len() / event.len()), "{what}");
            }
            Self::AtLineStart => {
                let bytes = bytes.strip_suffix(b": \n").unwrap_or(bytes);
                assert_eq!(bytes, ["data: half\n", RETRY].concat().as_bytes(), "{what}");
            }
            Self::InsideLine => assert_eq!(bytes, b"data: half", "{what}"),
        }
        assert_eq!(end.failed, self.is_mid_event() || client.is_cut_by_failing(), "{what}");
    }
}

fn ticks(period: Option<Duration>) -> stream::BoxStream<'static, ()> {
    match period {
        None => stream::repeat(()).boxed(),
        Some(period) => IntervalStream::new(interval(period)).map(drop).boxed(),
    }
}

/// Returns an event stream that is not made of the crate's events.
fn foreign<S>(first: &'static str, rest: S) -> Response<Body>
where
    S: Stream<Item = String> + Send + 'static,
{
    let bytes = stream::iter([first.to_owned()]).chain(rest);
    event_stream(Body::from_stream(bytes.map(|bytes| Ok::<_, io::Error>(Bytes::from(bytes)))))
}

/// The feeds of the streams that a handler opens, in their order.
pub(crate) struct Feeds(mpsc::UnboundedReceiver<Feed>);

impl Feeds {
    pub(crate) fn new() -> (Self, Handler) {
        let (opened, feeds) = mpsc::unbounded_channel();
        let handler = handler(move |_: Parts| {
            let (feed, body) = Feed::new();
            opened.send(feed).unwrap();
            event_stream(Body::new(body))
        });
        (Self(feeds), handler)
    }

    pub(crate) async fn next(&mut self) -> Feed {
        soon(self.0.recv()).await.unwrap()
    }
}
