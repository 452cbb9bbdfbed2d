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
    admission::{Refused, RequestInfo},
    headers,
    in_flight::InFlight,
    marker,
};
use crate::{
    BoxError,
    body::{EventStream, Inherited, Report, Shutdown, SseBody},
    connection::CloseReason,
    options::{ResolvedOptions, StreamOptions},
};

pin_project! {
    /// The future of a response of [`SseService`](crate::SseService).
    pub struct ResponseFuture<F, M = marker::Http> {
        #[pin]
        inner: Inner<F>,
        config: Arc<Config>,
        request_info: RequestInfo,
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
            in_flight: Option<Box<InFlight>>,
        },
        // The inner service was not called.
        Refused { refused: Refused },
    }
}

impl<F, M> ResponseFuture<F, M> {
    pub(super) const fn new(
        future: F,
        config: Arc<Config>,
        request_info: RequestInfo,
        in_flight: Option<Box<InFlight>>,
    ) -> Self {
        Self { inner: Inner::Called { future, in_flight }, config, request_info, kind: PhantomData }
    }

    pub(super) const fn refused(
        refused: Refused,
        config: Arc<Config>,
        request_info: RequestInfo,
    ) -> Self {
        Self { inner: Inner::Refused { refused }, config, request_info, kind: PhantomData }
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
            InnerProj::Called { future, in_flight } => {
                let answer = ready!(match in_flight {
                    None => future.poll(cx),
                    Some(in_flight) => in_flight.within(|| future.poll(cx)),
                });
                let response = match answer {
                    Ok(answer) => answer.into_sse(),
                    Err(error) => {
                        over(in_flight.take().map(|in_flight| *in_flight), CloseReason::Failed);
                        return Poll::Ready(Err(error));
                    }
                };
                // Most responses: written to where the caller wants them, without another move.
                if in_flight.is_none()
                    && !headers::is_event_stream(response.status(), response.headers())
                {
                    return Poll::Ready(Ok(response.map(SseBody::foreign)));
                }
                Poll::Ready(Ok(rare(response, this.config, *this.request_info, in_flight.take())))
            }
            InnerProj::Refused { refused } => Poll::Ready(Ok(refuse(
                Response::new(()),
                *refused,
                this.config,
                *this.request_info,
            ))),
        }
    }
}

/// In a response's extensions: a layer further in has said what becomes of it.
#[derive(Clone)]
enum Handled {
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
    request_info: RequestInfo,
    in_flight: Option<Box<InFlight>>,
) -> Response<SseBody<B>>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    match in_flight {
        _ if headers::is_event_stream(response.status(), response.headers()) => {
            event_stream(response, config, request_info, in_flight)
        }
        Some(in_flight) => watched(response, request_info, *in_flight),
        None => response.map(SseBody::foreign),
    }
}

fn event_stream<B>(
    mut response: Response<B>,
    config: &Config,
    request_info: RequestInfo,
    in_flight: Option<Box<InFlight>>,
) -> Response<SseBody<B>>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let options = response.extensions_mut().remove::<StreamOptions>();
    let may_be_refused = response.status() == StatusCode::OK;
    if may_be_refused && !request_info.acceptable {
        over(in_flight.map(|in_flight| *in_flight), CloseReason::Ended);
        return refuse(response, Refused::NotAcceptable, config, request_info);
    }
    if let Some(owned) = response.extensions().get::<Handled>() {
        if let (Handled::Stream(inherited), Some(shutdown)) = (owned, &config.shutdown) {
            if may_be_refused && !request_info.head && config.drains(request_info) {
                over(in_flight.map(|in_flight| *in_flight), CloseReason::Ended);
                return refuse(response, Refused::Unavailable, config, request_info);
            }
            if let Some(inherited) = inherited {
                _ = inherited.set(shutdown.clone());
            }
        }
        return match in_flight {
            Some(mut in_flight) => {
                in_flight.follow();
                watched(response, request_info, *in_flight)
            }
            None => response.map(SseBody::foreign),
        };
    }
    let rules = match options {
        Some(options) => Arc::new(config.rules.with(options)),
        None => Arc::clone(&config.rules),
    };
    let report = if request_info.head {
        over(in_flight.map(|in_flight| *in_flight), CloseReason::Ended);
        None
    } else {
        match open(config, request_info, &rules, in_flight, may_be_refused) {
            Ok(report) => Some(report),
            Err(refused) => return refuse(response, refused, config, request_info),
        }
    };
    let encoded = headers::has_content_coding(response.headers());
    headers::make_event_stream(response.headers_mut());
    let Some(report) = report else {
        response.extensions_mut().insert(Handled::Stream(None));
        return response.map(|_| SseBody::unsent());
    };
    let shutdown = Shutdown::of(config.shutdown.as_ref());
    response.extensions_mut().insert(Handled::Stream(shutdown.inherited()));
    response.map(|source| {
        let stream =
            EventStream::new(source, encoded, rules, shutdown, request_info.client, report);
        SseBody::event_stream(stream)
    })
}

/// Opens the stream of a response, unless that was done before the call.
fn open(
    config: &Config,
    request_info: RequestInfo,
    rules: &ResolvedOptions,
    in_flight: Option<Box<InFlight>>,
    may_be_refused: bool,
) -> Result<Report, Refused> {
    let in_flight = in_flight.map(|in_flight| *in_flight);
    if let Some(InFlight::Stream(report)) = in_flight {
        return Ok(report);
    }
    let place = match config.admit(request_info) {
        Ok(place) => place,
        Err(_) if !may_be_refused => None,
        Err(refused) => {
            over(in_flight, CloseReason::Ended);
            return Err(refused);
        }
    };
    Ok(config.open(rules, place, in_flight.and_then(InFlight::into_guard)))
}

/// A response that is no stream of ours, whose end somebody is to be told.
#[cold]
fn watched<B>(
    response: Response<B>,
    request_info: RequestInfo,
    in_flight: InFlight,
) -> Response<SseBody<B>>
where
    B: Body,
{
    match in_flight {
        InFlight::Disconnect(guard)
            if !request_info.head && headers::has_body(response.status()) =>
        {
            response.map(|body| SseBody::tracked(body, guard))
        }
        in_flight => {
            in_flight.over(CloseReason::Ended);
            response.map(SseBody::foreign)
        }
    }
}

fn over(in_flight: Option<InFlight>, reason: CloseReason) {
    if let Some(in_flight) = in_flight {
        in_flight.over(reason);
    }
}

/// The answer in place of an event stream.
#[cold]
fn refuse<B, C>(
    response: Response<B>,
    refused: Refused,
    config: &Config,
    request_info: RequestInfo,
) -> Response<SseBody<C>> {
    match refused {
        Refused::NotAcceptable => {
            let mut response = response.map(|_| SseBody::empty());
            *response.status_mut() = StatusCode::NOT_ACCEPTABLE;
            headers::make_empty(response.headers_mut());
            response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
            response
        }
        Refused::Unavailable => {
            config.stats.refused();
            debug!("an event stream was refused");
            let mut response = config.refusal.answer(response, request_info.client);
            // To a layer outside it must not be a stream.
            response.extensions_mut().insert(Handled::Refused);
            response
        }
    }
}

impl<F, M> fmt::Debug for ResponseFuture<F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
