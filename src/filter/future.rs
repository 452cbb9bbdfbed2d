use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Response, StatusCode, header::CONTENT_LENGTH, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use super::{EventFilter, FilterBody, event_filter::FilterOptions, pipe::Filtered};
use crate::{BoxError, headers, signals::is_refusal};

type Answer<F, B, E> = Result<Response<FilterBody<F, B>>, E>;

pin_project! {
    /// The response future of [`FilterService`](super::FilterService).
    pub struct FilterFuture<F: EventFilter, C, B> {
        #[pin]
        call: C,
        task: Task<F, B>,
    }
}

/// What the future does with the response.
enum Task<F: EventFilter, B> {
    Pass,
    Filter(Filtering<F, B>),
    /// The task is done, or was lost in a panic. No response may pass without its filter.
    Gone,
}

struct Filtering<F: EventFilter, B> {
    options: FilterOptions,
    is_head: bool,
    body: Pin<Box<Filtered<F, B>>>,
    // Boxed, because few heads are held.
    held: Option<Box<(Parts, Pin<Box<Sleep>>)>>,
}

impl<F: EventFilter, C, B> FilterFuture<F, C, B> {
    /// Calls the service. `filter` will filter its response.
    #[inline]
    pub(super) fn new(
        filter: Option<F>,
        options: FilterOptions,
        is_head: bool,
        call: impl FnOnce() -> C,
    ) -> Self {
        let Some(filter) = filter else { return Self { call: call(), task: Task::Pass } };
        let mut body = Filtered::new(filter, options, None);
        let call = body.as_mut().calling(call);
        Self { call, task: Task::Filter(Filtering { options, is_head, body, held: None }) }
    }
}

impl<F, C, B, E> Future for FilterFuture<F, C, B>
where
    F: EventFilter,
    C: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Output = Answer<F, B, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Task::Pass = this.task {
            return this.call.poll(cx).map_ok(|response| response.map(FilterBody::pass_through));
        }
        let Task::Filter(filtering) = mem::replace(this.task, Task::Gone) else {
            return Poll::Pending;
        };
        match filtering.poll(this.call, cx) {
            Ok(answer) => Poll::Ready(answer),
            Err(filtering) => {
                *this.task = Task::Filter(filtering);
                Poll::Pending
            }
        }
    }
}

fn whole<F: EventFilter, B>(mut response: Response<Bytes>) -> Response<FilterBody<F, B>> {
    let len = response.body().len();
    response.headers_mut().entry(CONTENT_LENGTH).or_insert(len.into());
    response.map(FilterBody::whole)
}

impl<F, B> Filtering<F, B>
where
    F: EventFilter,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    fn poll<C, E>(
        mut self,
        call: Pin<&mut C>,
        cx: &mut Context<'_>,
    ) -> Result<Answer<F, B, E>, Self>
    where
        C: Future<Output = Result<Response<B>, E>>,
    {
        let (parts, mut limit) = match self.held.take() {
            Some(held) => *held,
            None => {
                let Poll::Ready(answer) = self.body.as_mut().calling(|| call.poll(cx)) else {
                    return Err(self);
                };
                let parts = match self.begin(answer) {
                    Ok(parts) => parts,
                    Err(other) => return Ok(other),
                };
                let Some(limit) = self.options.hold_head else {
                    return Ok(Ok(Response::from_parts(parts, FilterBody::filtered(self.body))));
                };
                (parts, Box::pin(sleep(limit)))
            }
        };
        let Poll::Ready(rejected) = self.body.as_mut().poll_head(limit.as_mut(), cx) else {
            self.held = Some(Box::new((parts, limit)));
            return Err(self);
        };
        Ok(Ok(match rejected {
            None => Response::from_parts(parts, FilterBody::filtered(self.body)),
            Some(response) => whole(*response),
        }))
    }

    /// Begins to filter an event stream and returns its head. Returns any other answer, or the
    /// `502` for a stream with a content coding, as `Err`.
    // A large `Err` costs nothing more, because the caller would move the answer anyway.
    #[allow(clippy::result_large_err)]
    fn begin<E>(&mut self, answer: Result<Response<B>, E>) -> Result<Parts, Answer<F, B, E>> {
        let is_stream = answer.as_ref().is_ok_and(|response| {
            !self.is_head
                // A refusal only looks like a stream. A filter could take it for half an answer.
                && !is_refusal(response.extensions())
                && headers::is_event_stream(response.status(), response.headers())
        });
        match answer {
            Ok(response) if is_stream && !headers::has_content_coding(response.headers()) => {
                let (mut parts, source) = response.into_parts();
                headers::remove_those_of_whole_bodies(&mut parts.headers);
                headers::allow_chunks(&mut parts.version);
                self.body.as_mut().begin(source, parts.extensions.get().cloned());
                Ok(parts)
            }
            answer => {
                self.body.as_mut().discard();
                Err(answer.map(|response| match is_stream {
                    true => refuse(response),
                    false => response.map(FilterBody::pass_through),
                }))
            }
        }
    }
}

/// Returns the `502` that replaces a response whose events the filter cannot see.
fn refuse<F: EventFilter, B>(response: Response<B>) -> Response<FilterBody<F, B>> {
    let text = "an event stream with a content coding cannot be filtered";
    let mut response = response.map(|_| Bytes::from_static(text.as_bytes()));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    headers::allow_chunks(response.version_mut());
    response.extensions_mut().clear();
    headers::make_empty(response.headers_mut());
    whole(response)
}

opaque_debug!(FilterFuture<F: EventFilter, C, B>);
