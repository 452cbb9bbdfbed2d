//! Clients that do not read, and the streams that stall.

use std::io;

use http::Version;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use tokio::{io::AsyncWriteExt, task::yield_now};

use crate::*;

pub(crate) const SMALL_SOCKET: usize = 16 * 1024;

/// Returns a stream that is always ready, and calls `full` once its server with a [`SMALL_SOCKET`] takes
/// no more of it. None of its frames ends between events, and the layer passes each on in one piece.
pub(crate) fn flood(version: Version, full: impl FnOnce() + Send + 'static) -> Response<Body> {
    // Over HTTP/1, two large frames exceed the capacity of the sockets and of hyper's buffer. Over
    // HTTP/2, one exceeds the window.
    let capacity = if version == Version::HTTP_11 { 3 } else { 2 };
    let large = Bytes::from(["flood ".repeat(2_000), "\n\ndata: ".to_owned()].concat().repeat(21));
    assert!((240 * 1024..=256 * 1024).contains(&large.len()), "{}", large.len());
    let first = Bytes::from_static(b"data: ");
    let frames = stream::iter([first]).chain(stream::repeat(large));
    let (mut taken, mut full) = (0, Some(full));
    event_stream(Body::from_stream(frames.map(move |frame| {
        taken += 1;
        if taken == capacity
            && let Some(full) = full.take()
        {
            full();
        }
        Ok::<_, io::Error>(frame)
    })))
}

/// A client that has read the beginning of a flood and then stops reading.
pub(crate) enum Stalled {
    Http1 { _connection: TcpStream },
    Http2 { _connection: http2::SendRequest<Full<Bytes>>, _response: Response<Incoming> },
}

impl Stalled {
    pub(crate) async fn connect(protocol: Protocol, address: SocketAddr, path: &str) -> Self {
        let stream = connect_small(address).await;
        match protocol {
            Protocol::Http1 => Self::http1(stream, path).await,
            Protocol::Http2 => Self::http2(stream, path).await,
        }
    }

    async fn http1(mut stream: TcpStream, path: &str) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut begin = [0; 1024];
        soon(async {
            loop {
                let peeked = stream.peek(&mut begin).await.unwrap();
                assert_ne!(peeked, 0);
                if begin[..peeked].windows(6).any(|bytes| bytes == b"data: ") {
                    break;
                }
                yield_now().await;
            }
        })
        .await;
        Self::Http1 { _connection: stream }
    }

    /// Opens an HTTP/2 client whose connection is read until the window of its stream is full.
    async fn http2(stream: TcpStream, path: &str) -> Self {
        let mut sender = connect_h2_with_window(stream, 65_535).await;
        let response = soon(sender.send_request(Requester::Get.request(path)));
        let mut response = response.await.unwrap();
        let frame = soon(response.body_mut().frame()).await.unwrap().unwrap();
        assert!(frame.into_data().unwrap().starts_with(b"data: "));
        Self::Http2 { _connection: sender, _response: response }
    }
}
