use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, request::Builder};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use serde::de::DeserializeOwned;

use crate::*;

/// One connection to the server, for calls that are no streams.
pub(crate) struct Control(SendRequest<Full<Bytes>>);

impl Control {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(connect_h1(address).await)
    }

    pub(crate) async fn figures(&mut self) -> Figures {
        self.call(Request::get("/figures"), "").await.unwrap()
    }

    /// Publishes an event, and returns whether it was acknowledged.
    pub(crate) async fn publish(&mut self, topic: &str, text: &str) -> bool {
        self.call(Request::post(format!("/publish/{topic}")), text).await.unwrap()
    }

    /// Ends all streams and opens no more.
    pub(crate) async fn drain(&mut self) {
        _ = self.call::<()>(Request::post("/drain"), "").await;
    }

    /// Returns `None` if the answer is empty.
    async fn call<T: DeserializeOwned>(&mut self, request: Builder, text: &str) -> Option<T> {
        let request = request.header("host", "localhost").body(Full::from(text.to_owned()));
        soon(self.0.ready()).await.unwrap();
        let response = soon(self.0.send_request(request.unwrap())).await.unwrap();
        assert!(response.status().is_success(), "{response:?}");
        let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
        (!body.is_empty()).then(|| serde_json::from_slice(&body).unwrap())
    }
}
