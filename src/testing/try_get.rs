use std::panic::Location;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::time::timeout;
use tower_service::Service;

use super::{
    client::{TestClient, parsed},
    stream::TestStream,
};
use crate::BoxError;

/// Requests whose answer need not be an event stream.
impl<S, B, R> TestClient<S, B>
where
    S: Service<Request<B>, Response = Response<R>, Error: Into<BoxError>> + Send + 'static,
    B: Default,
    R: Body<Error: Into<BoxError>> + Send + 'static,
{
    /// Opens a stream as [`get`](Self::get) does, or returns the response at which an `EventSource`
    /// gives up, such as a `401` or `204`, with its whole body.
    ///
    /// ```
    /// use axum::{Router, response::IntoResponse, routing::get};
    /// use http::{HeaderMap, StatusCode};
    /// use tower_sse::{Event, SseLayer, testing::TestClient};
    ///
    /// async fn events(headers: HeaderMap) -> impl IntoResponse {
    ///     if !headers.contains_key("cookie") {
    ///         return Err(StatusCode::UNAUTHORIZED);
    ///     }
    ///     Ok(tower_sse::response(futures_util::stream::iter([Event::from("hello")])))
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let app = Router::new().route("/", get(events)).layer(SseLayer::new());
    /// let mut client = TestClient::new(app.clone());
    /// let refused = client.try_get("/").await.unwrap_err();
    /// assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    ///
    /// let mut client = TestClient::new(app).header("cookie", "session=7");
    /// assert_eq!(client.try_get("/").await.unwrap().next().await.data, "hello");
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns every response that is not `200 OK` with an event stream.
    ///
    /// # Panics
    ///
    /// Panics if the body of such a response fails, or does not end within the time limit.
    #[track_caller]
    pub fn try_get(
        &mut self,
        uri: &str,
    ) -> impl Future<Output = Result<TestStream, Response<Bytes>>> {
        self.try_resume(uri, "")
    }

    /// Opens a stream as [`resume`](Self::resume) does, or returns the response at which an
    /// `EventSource` gives up, as [`try_get`](Self::try_get) does.
    ///
    /// # Errors
    ///
    /// Returns every response that is not `200 OK` with an event stream.
    ///
    /// # Panics
    ///
    /// Panics as [`resume`](Self::resume) and [`try_get`](Self::try_get) do.
    #[track_caller]
    pub fn try_resume(
        &mut self,
        uri: &str,
        last_event_id: &str,
    ) -> impl Future<Output = Result<TestStream, Response<Bytes>>> {
        let caller = Location::caller();
        let (uri, last_event_id) = (parsed(uri), last_event_id.to_owned());
        async move {
            let (head, mut body) = match self.send(&uri, &last_event_id, caller).await {
                Ok(body) => return Ok(self.stream(body, uri, last_event_id)),
                Err(response) => response.into_parts(),
            };
            match timeout(self.time_limit, body.whole()).await {
                Ok(Ok(whole)) => Err(Response::from_parts(head, whole)),
                // The service is wrong, so the test fails.
                Ok(Err(error)) => panic!("GET {uri}: the body failed: {error}, at {caller}"),
                Err(_elapsed) => {
                    panic!("GET {uri}: no end within {:?}, at {caller}", self.time_limit)
                }
            }
        }
    }
}
