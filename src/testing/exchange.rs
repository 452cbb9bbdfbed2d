use std::{future::poll_fn, panic::Location, sync::Arc};

use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body::Body;
use tokio::time::timeout;
use tower_service::Service;

use super::{
    body_bytes::BodyBytes,
    client::TestClient,
    stream::{Opened, TestStream},
};
use crate::{BoxError, connection::LAST_EVENT_ID, headers::is_event_stream, lock::lock};

/// A request of the client, and its answer.
impl<S, B, R> TestClient<S, B>
where
    S: Service<Request<B>, Response = Response<R>, Error: Into<BoxError>> + Send + 'static,
    B: Default,
    R: Body<Error: Into<BoxError>> + Send + 'static,
{
    pub(super) fn stream(&self, body: BodyBytes, uri: Uri, last_event_id: String) -> TestStream {
        let opened = Opened { uri, last_event_id, _service: Arc::clone(&self.service) as _ };
        TestStream::opened(body, opened).time_limit(self.time_limit)
    }

    /// Sends a request. Returns the body of an event stream, or the response that is none.
    pub(super) async fn send(
        &mut self,
        uri: &Uri,
        last_event_id: &str,
        caller: &Location<'_>,
    ) -> Result<BodyBytes, Response<BodyBytes>> {
        let request = self.request(uri, last_event_id, caller);
        let answer = timeout(self.time_limit, async {
            poll_fn(|cx| lock(&self.service).poll_ready(cx)).await?;
            let answer = lock(&self.service).call(request);
            answer.await
        });
        // From here on, a panic is how the test of a wrong answer fails.
        let response = match answer.await {
            Ok(Ok(response)) => response.map(BodyBytes::new),
            Ok(Err(error)) => {
                panic!("GET {uri}: the service failed: {}, at {caller}", error.into())
            }
            Err(_elapsed) => {
                panic!("GET {uri}: no answer within {:?}, at {caller}", self.time_limit)
            }
        };
        let status = response.status();
        if status == StatusCode::OK && is_event_stream(status, response.headers()) {
            return Ok(response.into_body());
        }
        Err(response)
    }

    fn request(&self, uri: &Uri, last_event_id: &str, caller: &Location<'_>) -> Request<B> {
        let mut request = Request::new(B::default());
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.headers.clone();
        if !last_event_id.is_empty() {
            // Spaces around the value of a header do not belong to it (RFC 9110, section 5.5).
            let value = last_event_id.trim_matches([' ', '\t']);
            let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) else {
                // A client could not send it either, so the test fails.
                panic!("the id {last_event_id:?} cannot be the value of a header, at {caller}")
            };
            request.headers_mut().insert(LAST_EVENT_ID, value);
        }
        request
    }
}
