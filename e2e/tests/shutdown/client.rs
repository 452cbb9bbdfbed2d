//! Clients, their protocols, and what they receive.

use std::{fmt::Debug, net::SocketAddr};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};

use crate::support::{connect_h1, connect_h2, soon};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Client {
    EventSource,
    /// Page code that reads by `fetch`.
    Fetch,
    /// curl, a script.
    Get,
    /// A call of an API.
    Post,
}

impl Client {
    pub(crate) const ALL: [Self; 4] = [Self::EventSource, Self::Fetch, Self::Get, Self::Post];

    pub(crate) fn request(self, path: &str) -> Request<Full<Bytes>> {
        let (method, headers): (_, &[_]) = match self {
            Self::EventSource => {
                (Method::GET, &[("accept", "text/event-stream"), ("cache-control", "no-cache")])
            }
            Self::Fetch => {
                (Method::GET, &[("accept", "text/event-stream"), ("sec-fetch-mode", "cors")])
            }
            Self::Get => (Method::GET, &[("accept", "*/*")]),
            Self::Post => (Method::POST, &[("accept", "application/json")]),
        };
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Full::default()).unwrap()
    }

    /// Returns whether the client would take a clean end for the end of the answer.
    pub(crate) const fn is_cut_by_failing(self) -> bool {
        matches!(self, Self::Fetch | Self::Post)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    pub(crate) const BOTH: [Self; 2] = [Self::Http1, Self::Http2];

    pub(crate) async fn connect(self, address: SocketAddr) -> Connection {
        match self {
            Self::Http1 => Connection::Http1(connect_h1(address).await),
            Self::Http2 => Connection::Http2(connect_h2(address).await),
        }
    }
}

pub(crate) enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    pub(crate) async fn send(&mut self, client: Client, path: &str) -> Response<Incoming> {
        let request = client.request(path);
        let response = async {
            match self {
                Self::Http1(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
                Self::Http2(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
            }
        };
        soon(response).await.unwrap()
    }
}

/// The whole body, and how it ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) bytes: Vec<u8>,
    pub(crate) failed: bool,
}

pub(crate) async fn read_to_end<B>(response: Response<B>) -> End
where
    B: http_body::Body<Data = Bytes, Error: Debug> + Unpin,
{
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    // One timeout for the whole body: heartbeats would renew a timeout per frame.
    let failed = soon(async {
        loop {
            match body.frame().await {
                Some(Ok(frame)) => bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Some(Err(error)) => {
                    // Captured unless the test fails.
                    println!("{error:?}");
                    return true;
                }
                None => return false,
            }
        }
    });
    let failed = failed.await;
    End { bytes, failed }
}
