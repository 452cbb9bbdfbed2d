use std::{future::Future, sync::LazyLock, task::Wake};

use http::HeaderName;

use super::*;

#[derive(Clone, Debug, PartialEq)]
pub enum Polled {
    Pending,
    Data(Bytes),
    Trailers(HeaderMap),
    Failed(String),
    End,
}

pub fn poll_frame<B>(body: &mut B) -> Polled
where
    B: Body<Data = Bytes, Error: ToString> + Unpin,
{
    // A clone of `Waker::noop` may not count as the same waker, so no stream would ever look quiet.
    static WAKER: LazyLock<Waker> = LazyLock::new(|| Wakes::new().1);
    poll_frame_with(body, &WAKER)
}

pub fn poll_frame_with<B>(body: &mut B, waker: &Waker) -> Polled
where
    B: Body<Data = Bytes, Error: ToString> + Unpin,
{
    match Pin::new(body).poll_frame(&mut Context::from_waker(waker)) {
        Poll::Pending => Polled::Pending,
        Poll::Ready(None) => Polled::End,
        Poll::Ready(Some(Err(error))) => Polled::Failed(error.to_string()),
        Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
            Ok(data) => Polled::Data(data),
            Err(frame) => Polled::Trailers(frame.into_trailers().unwrap()),
        },
    }
}

/// Asserts what `body` yields at its next polls. Each frame is dropped before the next poll.
#[track_caller]
pub fn assert_polls<B>(body: &mut B, expected: impl IntoIterator<Item = Polled>)
where
    B: Body<Data = Bytes, Error: ToString> + Unpin,
{
    for (number, expected) in expected.into_iter().enumerate() {
        assert_eq!(poll_frame(body), expected, "poll {number}");
    }
}

/// Returns all bytes of `body`, and its error if it fails. Panics if it has trailers.
#[track_caller]
pub fn read_bytes<B>(body: B) -> impl Future<Output = (Vec<u8>, Option<B::Error>)>
where
    B: Body<Data = Bytes>,
{
    soon(async {
        let (mut body, mut read) = (pin!(body), Vec::new());
        loop {
            match body.frame().await {
                None => return (read, None),
                Some(Err(error)) => return (read, Some(error)),
                Some(Ok(frame)) => read.extend(frame.into_data().expect("no trailers")),
            }
        }
    })
}

/// As [`read_bytes`], with the bytes as text.
#[track_caller]
pub fn read_to_end<B>(body: B) -> impl Future<Output = (String, Option<B::Error>)>
where
    B: Body<Data = Bytes>,
{
    read_bytes(body).map(|(read, error)| (String::from_utf8(read).expect("UTF-8"), error))
}

pub fn checksum() -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("x-checksum"), HeaderValue::from_static("7"))])
}

pub fn failed(error: &str) -> Polled {
    Polled::Failed(error.to_owned())
}

pub fn data(bytes: &'static str) -> Polled {
    Polled::Data(Bytes::from_static(bytes.as_bytes()))
}

#[derive(Default)]
pub struct Wakes(AtomicUsize);

impl Wakes {
    pub fn new() -> (Arc<Self>, Waker) {
        let wakes = Arc::new(Self::default());
        (Arc::clone(&wakes), Waker::from(wakes))
    }

    pub fn get(&self) -> usize {
        self.0.load(SeqCst)
    }

    /// Returns the number of wake-ups since the last `take`.
    pub fn take(&self) -> usize {
        self.0.swap(0, SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}
