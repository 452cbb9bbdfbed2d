use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame};

/// The result of one poll of a body.
#[derive(Clone, Debug, PartialEq)]
pub enum Polled {
    Pending,
    Data(Bytes),
    Trailers(HeaderMap),
    Failed(String),
    End,
}

/// Polls `body` once with a no-op waker.
pub fn poll_frame<B>(body: &mut B) -> Polled
where
    B: Body<Data = Bytes, Error: ToString> + Unpin,
{
    poll_frame_with(body, Waker::noop())
}

/// Polls `body` once.
pub fn poll_frame_with<B>(body: &mut B, waker: &Waker) -> Polled
where
    B: Body<Data = Bytes, Error: ToString> + Unpin,
{
    match Pin::new(body).poll_frame(&mut Context::from_waker(waker)) {
        Poll::Pending => Polled::Pending,
        Poll::Ready(None) => Polled::End,
        Poll::Ready(Some(Err(error))) => Polled::Failed(error.to_string()),
        Poll::Ready(Some(Ok(frame))) => of_frame(frame),
    }
}

fn of_frame(frame: Frame<Bytes>) -> Polled {
    match frame.into_data() {
        Ok(data) => Polled::Data(data),
        Err(frame) => Polled::Trailers(frame.into_trailers().unwrap()),
    }
}

/// Returns trailers.
pub fn checksum() -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("x-checksum"), HeaderValue::from_static("7"))])
}

/// Data, for comparisons.
pub fn data(bytes: &'static str) -> Polled {
    Polled::Data(Bytes::from_static(bytes.as_bytes()))
}
