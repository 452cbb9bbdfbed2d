use std::task::{Context, Poll};
use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{EventFilter, FilterBody, FilterFuture, event_filter::FilterOptions};
use crate::BoxError;

/// A layer that passes the event streams of a service through filters.
///
/// The closure given to [`new`](Self::new) returns a filter for each request, or `None` to leave
/// the response unchanged. A response that isn't an event stream passes unchanged, and its filter
/// is dropped without a call. If `Content-Type` lists several media types, the last valid one
/// counts, as the [Fetch standard] says.
///
/// # Headers
///
/// The layer removes headers that don't fit a changed stream: `content-length`, `etag`,
/// `accept-ranges` and digests.
///
/// # What is refused
///
/// An event that the filter has not seen, or has rejected, does not reach the client:
///
/// - If an event is [larger](Self::max_event_size) than 1 MiB, the body fails.
/// - If an event stream has a content coding, the client receives a `502`. Remove `accept-encoding`
///   from requests to the upstream and compress outside of this layer.
/// - If the filter [rejects](super::Verdict::Reject) an event after the response head was sent, the
///   body fails.
///
/// # The type
///
/// `M` is the type of the closure. To name it, for example in a struct field, box the closure:
///
/// ```
/// use axum::body::Body;
/// use http::Request;
/// use tower_sse::decode::EventRef;
/// use tower_sse::filter::{EventFilter, FilterLayer, Verdict};
///
/// struct Guard;
///
/// impl EventFilter for Guard {
///     fn event(&mut self, _: EventRef<'_>) -> Verdict {
///         Verdict::Pass
///     }
/// }
///
/// type MakeFilter = Box<dyn Fn(&Request<Body>) -> Option<Guard> + Send + Sync>;
///
/// struct Gateway {
///     filters: FilterLayer<MakeFilter>,
/// }
///
/// let gateway = Gateway { filters: FilterLayer::new(Box::new(|_| Some(Guard))) };
/// # _ = gateway.filters.clone();
/// ```
///
/// [Fetch standard]: https://fetch.spec.whatwg.org/#concept-header-extract-mime-type
#[must_use]
pub struct FilterLayer<M> {
    options: FilterOptions,
    make: Arc<M>,
}

impl<M> FilterLayer<M> {
    /// Creates a layer that calls `make` with each request to get a filter for its response.
    pub fn new<B, F>(make: M) -> Self
    where
        M: Fn(&Request<B>) -> Option<F>,
        F: EventFilter,
    {
        Self { options: FilterOptions::default(), make: Arc::new(make) }
    }

    /// Limits the size of an event, or of a `retry` line between events, to `bytes`. The default is
    /// 1 MiB. Line endings and comments count, but not the empty line that ends the event.
    ///
    /// If an event is larger, the body sends the events before it, then fails with
    /// [`EventTooLarge`](crate::decode::EventTooLarge). An `EventSource` that resumes at the
    /// upstream gets the same event again. To skip large events instead, raise the limit so that
    /// your filter sees them, and have it replace each one with a small event that has the same id.
    ///
    /// # Panics
    ///
    /// Panics if `bytes` is zero.
    #[track_caller]
    pub const fn max_event_size(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "the maximum size of an event cannot be zero");
        self.options.max_event_size = Some(bytes);
        self
    }

    /// Holds the head of the response until the filter has passed or sent an event. Until then, the
    /// filter can [reject](super::Verdict::Reject) the response. So if the upstream's first event
    /// is an error, the client can still get an error status, or an outer layer can retry the
    /// request.
    ///
    /// The head is also sent once it has been held for `limit`, or after 16 KiB of comments and
    /// other lines between events. If the stream ends or fails first, the head is sent unless the
    /// filter rejects the response. No heartbeat can be sent before the head, so choose a limit of
    /// a few seconds.
    ///
    /// ```
    /// use std::{mem, time::Duration};
    ///
    /// use http::{Request, Response};
    /// use tower_sse::filter::{self, FilterLayer, Verdict};
    ///
    /// let filters = FilterLayer::new(|_: &Request<()>| {
    ///     let mut is_first = true;
    ///     Some(filter::from_fn(move |event| {
    ///         // An error after other events passes: the client finds it in the stream.
    ///         if !mem::take(&mut is_first) || event.name() != "error" {
    ///             return Verdict::Pass;
    ///         }
    ///         let error = event.data().into_owned();
    ///         Verdict::Reject(Box::new(Response::builder().status(502).body(error.into()).unwrap()))
    ///     }))
    /// })
    /// .hold_head(Duration::from_secs(5));
    /// ```
    ///
    /// # Panics
    ///
    /// Poll the response future in a tokio runtime with timers enabled. Otherwise, the future
    /// panics if it holds a head.
    pub const fn hold_head(mut self, limit: Duration) -> Self {
        self.options.hold_head = Some(limit);
        self
    }
}

impl<M> Clone for FilterLayer<M> {
    fn clone(&self) -> Self {
        Self { options: self.options, make: Arc::clone(&self.make) }
    }
}

impl<S, M> Layer<S> for FilterLayer<M> {
    type Service = FilterService<S, M>;

    fn layer(&self, inner: S) -> FilterService<S, M> {
        FilterService { inner, make: Arc::clone(&self.make), options: self.options }
    }
}

opaque_debug!(FilterLayer<M>);

/// The middleware that a [`FilterLayer`] wraps around a service.
///
/// It is ready when the inner service is ready and returns the inner service's errors.
pub struct FilterService<S, M> {
    inner: S,
    make: Arc<M>,
    options: FilterOptions,
}

impl<S, M> FilterService<S, M> {
    inner_service_accessors!();
}

impl<S, M, F, B, R> Service<Request<B>> for FilterService<S, M>
where
    S: Service<Request<B>, Response = Response<R>>,
    M: Fn(&Request<B>) -> Option<F>,
    F: EventFilter,
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Response = Response<FilterBody<F, R>>;
    type Error = S::Error;
    type Future = FilterFuture<F, S::Future, R>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let filter = (self.make)(&request);
        let is_head = *request.method() == Method::HEAD;
        FilterFuture::new(filter, self.options, is_head, || self.inner.call(request))
    }
}

impl<S: Clone, M> Clone for FilterService<S, M> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), make: Arc::clone(&self.make), options: self.options }
    }
}

opaque_debug!(FilterService<S, M>);
