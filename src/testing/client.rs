use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex};
use std::{marker::PhantomData, panic::Location, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body::Body;
use tokio::time::timeout;
use tower_service::Service;

use super::reader::BodyBytes;
use super::stream::{Opened, TIME_LIMIT, TestStream};
use crate::connection::LastEventId;
use crate::{BoxError, headers::is_event_stream, lock::lock, options::StreamOptions};

/// A client that needs no server. It opens a service's event streams the way an `EventSource`
/// would.
///
/// The service is an axum `Router` or any other [`Service`] that takes HTTP requests. The requests'
/// body is an empty `String`, unless you set [another type](Self::request_body).
///
/// The client hides what the crate sends by default at the start of a stream, so on a first visit,
/// the first message is your program's. The client doesn't get [`SseLayer`](crate::SseLayer)'s
/// random default reconnection time. From a hub's default
/// [`start`](crate::hub::Subscribe::start_event) event, it takes only the id. It doesn't follow
/// redirects.
///
/// # Panics
///
/// A method that opens a stream panics if the URI isn't valid, or if the service fails or doesn't
/// answer within 30 seconds ([`time_limit`](Self::time_limit)). All of these but
/// [`try_get`](Self::try_get) and [`try_resume`](Self::try_resume) also panic if the answer is not
/// `200 OK` with an event stream.
#[must_use]
pub struct TestClient<S, B = String> {
    /// Shared with the streams, which keep it alive as a server does.
    pub(super) service: Arc<Mutex<S>>,
    pub(super) headers: HeaderMap,
    pub(super) time_limit: Duration,
    request_body: PhantomData<fn() -> B>,
}

impl<S> TestClient<S> {
    /// Creates a client of this service.
    pub fn new(service: S) -> Self {
        let no_cache = HeaderValue::from_static("no-cache");
        let headers = [
            (header::HOST, HeaderValue::from_static("localhost")),
            (header::ACCEPT, HeaderValue::from_static("text/event-stream")),
            (header::CACHE_CONTROL, no_cache.clone()),
            (header::PRAGMA, no_cache),
        ];
        let headers = headers.into_iter().collect();
        let service = Arc::new(Mutex::new(service));
        Self { service, headers, time_limit: TIME_LIMIT, request_body: PhantomData }
    }
}

impl<S, B> TestClient<S, B> {
    /// Sets a header on all requests, for example `cookie` or `authorization`.
    ///
    /// # Panics
    ///
    /// Panics if the name or the value is not valid.
    #[track_caller]
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        let (Ok(name), Ok(value)) = (name.try_into(), value.try_into()) else {
            // A mistake in the test.
            panic!("the name or the value of the header is not valid")
        };
        self.headers.insert(name, value);
        self
    }

    /// Sets how long the client waits for a response, and how long its streams wait for [a
    /// message](TestStream::time_limit). The default is 30 seconds.
    pub const fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Sets the type of the request body, for example with `request_body::<axum::body::Body>()`.
    /// The default is `String`.
    pub fn request_body<T>(self) -> TestClient<S, T> {
        let Self { service, headers, time_limit, request_body: _ } = self;
        TestClient { service, headers, time_limit, request_body: PhantomData }
    }
}

impl<S, B, R> TestClient<S, B>
where
    S: Service<Request<B>, Response = Response<R>, Error: Into<BoxError>> + Send + 'static,
    B: Default,
    R: Body<Error: Into<BoxError>> + Send + 'static,
{
    /// Opens a stream, like a client on its first connection.
    #[track_caller]
    pub fn get(&mut self, uri: &str) -> impl Future<Output = TestStream> {
        self.resume(uri, "")
    }

    /// Opens a stream with the header `Last-Event-ID`, or without it if `last_event_id` is empty.
    ///
    /// # Panics
    ///
    /// Panics if `uri` isn't valid, or if the id isn't a valid header value.
    #[track_caller]
    pub fn resume(&mut self, uri: &str, last_event_id: &str) -> impl Future<Output = TestStream> {
        self.open(parsed(uri), last_event_id.to_owned(), Location::caller())
    }

    /// Cuts off a stream and immediately opens a new one at the same URI, with the old stream's
    /// [last id](TestStream::last_event_id).
    ///
    /// To test a reconnection to [another process](super#several-processes), call this method on
    /// that process's client.
    ///
    /// # Panics
    ///
    /// Panics if the stream is not from a `TestClient`, or if the id isn't a valid header value.
    #[track_caller]
    pub fn reconnect(&mut self, stream: TestStream) -> impl Future<Output = TestStream> {
        let caller = Location::caller();
        let Some(uri) = stream.uri().cloned() else {
            // A mistake in the test.
            panic!("only a stream that a `TestClient` opened can be opened again")
        };
        let last_event_id = stream.last_event_id().to_owned();
        drop(stream);
        self.open(uri, last_event_id, caller)
    }

    /// Opens a stream as [`get`](Self::get) does, or returns any other response, such as a `401`.
    ///
    /// # Errors
    ///
    /// Returns every response that is not `200 OK` with an event stream.
    ///
    /// # Panics
    ///
    /// Panics if the body of such a response fails, or does not end within the time limit and
    /// 100,000 frames.
    #[track_caller]
    pub fn try_get(
        &mut self,
        uri: &str,
    ) -> impl Future<Output = Result<TestStream, Response<Bytes>>> {
        self.try_resume(uri, "")
    }

    /// Opens a stream as [`resume`](Self::resume) does, or returns any other response as
    /// [`try_get`](Self::try_get) does.
    ///
    /// # Errors
    ///
    /// See [`try_get`](Self::try_get).
    ///
    /// # Panics
    ///
    /// See [`resume`](Self::resume) and [`try_get`](Self::try_get).
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
                Ok(body) => return Ok(self.stream(body, uri, &last_event_id)),
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

    async fn open(&mut self, uri: Uri, last_event_id: String, caller: &Location<'_>) -> TestStream {
        let (head, mut body) = match self.send(&uri, &last_event_id, caller).await {
            Ok(body) => return self.stream(body, uri, &last_event_id),
            Err(response) => response.into_parts(),
        };
        let content_type = head.headers.get(header::CONTENT_TYPE);
        let (status, beginning) = (head.status, body.beginning().await);
        let reason = match status.is_redirection() {
            true => "a `TestClient` doesn't follow",
            false => "an `EventSource` gives up after",
        };
        // A wrong answer fails the test by a panic.
        panic!(
            "GET {uri}: {reason} status {status}, content type {content_type:?}, at {caller}\n\
             {beginning}",
        );
    }

    fn stream(&self, body: BodyBytes, uri: Uri, last_event_id: &str) -> TestStream {
        let opened = Opened { uri, _service: Arc::clone(&self.service) as _ };
        TestStream::opened(body, last_event_id, opened).time_limit(self.time_limit)
    }

    /// Sends a request. Returns the body of an event stream with status 200, or else the response.
    async fn send(
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
        // From here on, a wrong answer fails the test by a panic.
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
        // The default reconnection time is random, so a test could not expect it.
        let mut options = StreamOptions::new();
        options.omits_defaults = true;
        options.merge_into_extensions(request.extensions_mut());
        if !last_event_id.is_empty() {
            // Spaces around the value of a header do not belong to it (RFC 9110, section 5.5).
            let value = last_event_id.trim_matches([' ', '\t']);
            let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) else {
                // A server would reject a header with this id too, so the test fails.
                panic!("the id {last_event_id:?} cannot be the value of a header, at {caller}")
            };
            request.headers_mut().insert(LastEventId::HEADER, value);
        }
        request
    }
}

#[track_caller]
fn parsed(uri: &str) -> Uri {
    match uri.parse() {
        Ok(uri) => uri,
        // A mistake in the test.
        Err(error) => panic!("{uri:?} is not a URI: {error}"),
    }
}

opaque_debug!(TestClient<S, B>);
