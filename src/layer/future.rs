use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::VARY};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{
    Config, IntoSse,
    admission::{Asked, Refused},
    headers, marker,
    watch::Watch,
};
use crate::{
    BoxError,
    body::{EventStream, Inherited, Report, Rules, Shutdown, SseBody, StreamOptions},
    connection::CloseReason,
};

pin_project! {
    /// The future of a response of [`SseService`](crate::SseService).
    pub struct ResponseFuture<F, M = marker::Http> {
        #[pin]
        inner: Inner<F>,
        config: Arc<Config>,
        asked: Asked,
        // The compiler infers it at the layer, and every type on the way has to hand it on.
        kind: PhantomData<fn() -> M>,
    }
}

pin_project! {
    #[project = InnerProj]
    enum Inner<F> {
        Called {
            #[pin]
            future: F,
            // Out of line, for most responses have none.
            watch: Option<Box<Watch>>,
        },
        // The inner service was not called.
        Refused { refused: Refused },
    }
}

impl<F, M> ResponseFuture<F, M> {
    pub(super) const fn new(
        future: F,
        config: Arc<Config>,
        asked: Asked,
        watch: Option<Box<Watch>>,
    ) -> Self {
        Self { inner: Inner::Called { future, watch }, config, asked, kind: PhantomData }
    }

    pub(super) const fn refused(refused: Refused, config: Arc<Config>, asked: Asked) -> Self {
        Self { inner: Inner::Refused { refused }, config, asked, kind: PhantomData }
    }
}

impl<F, M, R, E> Future for ResponseFuture<F, M>
where
    F: Future<Output = Result<R, E>>,
    R: IntoSse<M>,
{
    type Output = Result<Response<SseBody<R::Body>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.inner.project() {
            InnerProj::Called { future, watch } => {
                let answer = ready!(match watch {
                    None => future.poll(cx),
                    Some(watch) => watch.within(|| future.poll(cx)),
                });
                let response = match answer {
                    Ok(answer) => answer.into_sse(),
                    Err(error) => {
                        over(watch.take().map(|watch| *watch), CloseReason::Failed);
                        return Poll::Ready(Err(error));
                    }
                };
                // Most responses: written to where the caller wants them, without another move.
                if watch.is_none()
                    && !headers::is_event_stream(response.status(), response.headers())
                {
                    return Poll::Ready(Ok(response.map(SseBody::foreign)));
                }
                Poll::Ready(Ok(rare(response, this.config, *this.asked, watch.take())))
            }
            InnerProj::Refused { refused } => {
                Poll::Ready(Ok(refuse(Response::new(()), *refused, this.config, *this.asked)))
            }
        }
    }
}

/// In a response's extensions: a layer further in has said what becomes of it.
#[derive(Clone)]
enum Owned {
    /// An event stream, for which the shutdown of a layer outside can be left here.
    Stream(Option<Inherited>),
    /// A refusal, which looks like a stream.
    Refused,
}

/// An event stream, or a response whose end somebody is to be told.
// Out of line, so that a response that is no event stream pays only for the question.
#[cold]
fn rare<B>(
    response: Response<B>,
    config: &Config,
    asked: Asked,
    watch: Option<Box<Watch>>,
) -> Response<SseBody<B>>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    match watch {
        _ if headers::is_event_stream(response.status(), response.headers()) => {
            event_stream(response, config, asked, watch)
        }
        Some(watch) => watched(response, asked, *watch),
        None => response.map(SseBody::foreign),
    }
}

fn event_stream<B>(
    mut response: Response<B>,
    config: &Config,
    asked: Asked,
    watch: Option<Box<Watch>>,
) -> Response<SseBody<B>>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let options = response.extensions_mut().remove::<StreamOptions>();
    let may_be_refused = response.status() == StatusCode::OK;
    if may_be_refused && !asked.acceptable {
        over(watch.map(|watch| *watch), CloseReason::Ended);
        return refuse(response, Refused::NotAcceptable, config, asked);
    }
    if let Some(owned) = response.extensions().get::<Owned>() {
        if let (Owned::Stream(inherited), Some(shutdown)) = (owned, &config.shutdown) {
            if may_be_refused && !asked.head && config.drains(asked) {
                over(watch.map(|watch| *watch), CloseReason::Ended);
                return refuse(response, Refused::NoPlace, config, asked);
            }
            if let Some(inherited) = inherited {
                _ = inherited.set(shutdown.clone());
            }
        }
        return match watch {
            Some(mut watch) => {
                watch.follow();
                watched(response, asked, *watch)
            }
            None => response.map(SseBody::foreign),
        };
    }
    let rules = match options {
        Some(options) => Arc::new(config.rules.with(options)),
        None => Arc::clone(&config.rules),
    };
    let report = if asked.head {
        over(watch.map(|watch| *watch), CloseReason::Ended);
        None
    } else {
        match open(config, asked, &rules, watch, may_be_refused) {
            Ok(report) => Some(report),
            Err(refused) => return refuse(response, refused, config, asked),
        }
    };
    let encoded = headers::has_content_coding(response.headers());
    headers::make_event_stream(response.headers_mut());
    let Some(report) = report else {
        response.extensions_mut().insert(Owned::Stream(None));
        return response.map(|_| SseBody::unsent());
    };
    let shutdown = Shutdown::of(config.shutdown.as_ref());
    response.extensions_mut().insert(Owned::Stream(shutdown.inherited()));
    response.map(|source| {
        let stream = EventStream::new(source, encoded, rules, shutdown, asked.client, report);
        SseBody::event_stream(stream)
    })
}

/// Opens the stream of a response, unless that was done before the call.
fn open(
    config: &Config,
    asked: Asked,
    rules: &Rules,
    watch: Option<Box<Watch>>,
    may_be_refused: bool,
) -> Result<Report, Refused> {
    let watch = watch.map(|watch| *watch);
    if let Some(Watch::Stream(report)) = watch {
        return Ok(report);
    }
    let place = match config.admit(asked) {
        Ok(place) => place,
        Err(_) if !may_be_refused => None,
        Err(refused) => {
            over(watch, CloseReason::Ended);
            return Err(refused);
        }
    };
    Ok(config.open(rules, place, watch.and_then(Watch::into_guard)))
}

/// A response that is no stream of ours, whose end somebody is to be told.
#[cold]
fn watched<B>(response: Response<B>, asked: Asked, watch: Watch) -> Response<SseBody<B>>
where
    B: Body,
{
    match watch {
        Watch::Disconnect(guard) if !asked.head && headers::has_body(response.status()) => {
            response.map(|body| SseBody::tracked(body, guard))
        }
        watch => {
            watch.over(CloseReason::Ended);
            response.map(SseBody::foreign)
        }
    }
}

fn over(watch: Option<Watch>, reason: CloseReason) {
    if let Some(watch) = watch {
        watch.over(reason);
    }
}

/// The answer in place of an event stream.
#[cold]
fn refuse<B, C>(
    response: Response<B>,
    refused: Refused,
    config: &Config,
    asked: Asked,
) -> Response<SseBody<C>> {
    match refused {
        Refused::NotAcceptable => {
            let mut response = response.map(|_| SseBody::empty());
            *response.status_mut() = StatusCode::NOT_ACCEPTABLE;
            headers::make_empty(response.headers_mut());
            response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
            response
        }
        Refused::NoPlace => {
            config.stats.refused();
            debug!("an event stream was refused");
            let mut response = config.refusal.answer(response, asked.client);
            // To a layer outside it must not be a stream.
            response.extensions_mut().insert(Owned::Refused);
            response
        }
    }
}

impl<F, M> fmt::Debug for ResponseFuture<F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
