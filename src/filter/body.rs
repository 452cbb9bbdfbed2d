use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::{collections::VecDeque, future::Future};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::{task::coop, time::Sleep};

use super::{EventFilter, pipe::FilterPipe};
use crate::{BoxError, body::forward_to_kinds, coop::CoopBudget, headers, layer::SseBody};

pin_project! {
    /// The response body of a [`FilterLayer`](super::FilterLayer). To filter an event stream
    /// without the layer, wrap the response body yourself. For example, to filter an upstream's
    /// response:
    ///
    /// ```
    /// use http::Response;
    /// use tower_sse::filter::{self, FilterBody, Verdict};
    ///
    /// // Any `http_body::Body`; a `String` is the simplest one.
    /// let upstream = Response::new("data: one\n\ndata: two\n\n".to_owned());
    /// let filter = filter::from_fn(|event| {
    ///     println!("{}", event.data());
    ///     Verdict::Pass
    /// });
    /// let response = upstream.map(|body| FilterBody::new(body, filter));
    /// ```
    ///
    /// Wrap only bodies without a content coding. If the filter changes the stream, remove the
    /// [headers](super::FilterLayer#headers) that the layer would remove. Trailers are dropped if
    /// the filter ends the stream.
    pub struct FilterBody<F: EventFilter, B> {
        #[pin]
        kind: Kind<F, B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<F: EventFilter, B> {
        Filtered { #[pin] body: Pin<Box<Filtered<F, B>>> },
        Other { #[pin] body: SseBody<B> },
    }
}

impl<F: EventFilter, B> FilterBody<F, B> {
    /// Passes `body` through `filter`. The filtered body fails if an event is larger than 1 MiB.
    pub fn new(body: B, filter: F) -> Self {
        Self::filtered(Filtered::new(FilterPipe::new(filter), Some(body)))
    }

    pub(super) const fn filtered(body: Pin<Box<Filtered<F, B>>>) -> Self {
        Self { kind: Kind::Filtered { body } }
    }

    pub(super) const fn pass_through(body: B) -> Self {
        Self { kind: Kind::Other { body: SseBody::pass_through(body) } }
    }

    pub(super) fn whole(bytes: Bytes) -> Self {
        Self { kind: Kind::Other { body: SseBody::whole(bytes) } }
    }
}

forward_to_kinds!(FilterBody<B, F: EventFilter>: Filtered, Other);

opaque_debug!(FilterBody<F: EventFilter, B>);

/// The part of a frame that is filtered in one poll. A larger one would hold the thread.
const MAX_PART: usize = 64 << 10;

type BodyFrame = Result<Frame<Bytes>, BoxError>;

pin_project! {
    /// A source and the pipe through which it passes.
    pub(super) struct Filtered<F: EventFilter, B> {
        // `None` before the response, and after the source's end.
        #[pin]
        pub(super) source: Option<B>,
        pub(super) pipe: FilterPipe<F>,
        // The part of the last frame that is not filtered.
        rest: Bytes,
        trailers: Option<HeaderMap>,
        // What has passed while the head was held.
        held: VecDeque<BodyFrame>,
        budget: CoopBudget,
    }
}

impl<F: EventFilter, B> Filtered<F, B> {
    /// Creates a pinned value: the source can be polled before the body is returned.
    pub(super) fn new(pipe: FilterPipe<F>, source: Option<B>) -> Pin<Box<Self>> {
        Box::pin(Self {
            source,
            pipe,
            rest: Bytes::new(),
            trailers: None,
            held: VecDeque::new(),
            budget: CoopBudget::default(),
        })
    }

    /// Calls the service. A panic is reported as the end.
    pub(super) fn calling<T>(self: Pin<&mut Self>, call: impl FnOnce() -> T) -> T {
        let guard = &mut self.project().pipe.flow.guard;
        _ = guard.enter();
        let returned = call();
        guard.is_calling = false;
        returned
    }
}

impl<F, B> Body for Filtered<F, B>
where
    F: EventFilter,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        match self.as_mut().project().held.pop_front() {
            Some(held) => Poll::Ready(Some(held)),
            None => self.poll_pipe(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pipe.is_over() && self.trailers.is_none() && self.held.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

impl<F, B> Filtered<F, B>
where
    F: EventFilter,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    /// Polls until the head of the response can be sent, or returns the response that replaces it.
    pub(super) fn poll_head(
        mut self: Pin<&mut Self>,
        limit: Pin<&mut Sleep>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Box<Response<Bytes>>>> {
        self.as_mut().project().pipe.flow.holds_head = true;
        let mut is_over = false;
        while !is_over {
            let Poll::Ready(polled) = self.as_mut().poll_pipe(cx) else {
                // The source may have spent tokio's budget, without which a timer is never ready.
                ready!(pin!(coop::unconstrained(limit)).poll(cx));
                break;
            };
            let this = self.as_mut().project();
            if let Some(rejected) = this.pipe.flow.rejected.take() {
                return Poll::Ready(Some(rejected));
            }
            is_over = matches!(polled, None | Some(Err(_))) || this.pipe.flow.releases_head();
            this.held.extend(polled);
        }
        self.project().pipe.flow.holds_head = false;
        Poll::Ready(None)
    }

    fn poll_pipe(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        let this = self.as_mut().project();
        if let Err(panicked) = this.pipe.flow.guard.enter() {
            self.project().source.set(None);
            return Poll::Ready(Some(Err(panicked)));
        }
        let polled = self.as_mut().poll_source(cx);
        self.project().pipe.flow.guard.is_calling = false;
        polled
    }

    fn poll_source(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        let mut this = self.project();
        loop {
            let sent = if !this.rest.is_empty() {
                let part = this.rest.split_to(this.rest.len().min(MAX_PART));
                this.pipe.filter(part)
            } else if !this.pipe.flow.is_open {
                this.pipe.filter_end(None)
            } else {
                ready!(CoopBudget::poll_ready(cx));
                let Some(source) = this.source.as_mut().as_pin_mut() else {
                    return Poll::Ready(None);
                };
                let Poll::Ready(frame) = source.poll_frame(cx) else {
                    this.pipe.splitter.shrink();
                    return Poll::Pending;
                };
                match frame.map(|frame| frame.map(Frame::into_data)) {
                    Some(Ok(Ok(data))) if data.len() <= MAX_PART => this.pipe.filter(data),
                    Some(Ok(Ok(data))) => {
                        *this.rest = data;
                        continue;
                    }
                    Some(Ok(Err(frame))) => {
                        *this.trailers = frame.into_trailers().ok();
                        if let Some(trailers) = this.trailers {
                            headers::remove_those_of_whole_bodies(trailers);
                        }
                        this.pipe.filter_end(None)
                    }
                    Some(Err(error)) => this.pipe.filter_end(Some(error.into())),
                    None => this.pipe.filter_end(None),
                }
            };
            if !this.pipe.flow.is_open {
                this.source.set(None);
                this.rest.clear();
            }
            match sent {
                Ok(bytes) if !bytes.is_empty() => {
                    this.budget.spend(cx, bytes.len());
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
                Ok(_) if this.pipe.is_over() => {
                    let is_stopped = this.pipe.flow.is_stopped;
                    let trailers = this.trailers.take().filter(|_| !is_stopped);
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                }
                Ok(_) => ready!(this.budget.poll_empty(cx)),
            }
        }
    }
}
