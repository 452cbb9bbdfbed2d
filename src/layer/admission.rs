//! Every decision to open a stream, to refuse it, or to pass a response through.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header::VARY,
};
use http_body::Body;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::{Config, headers, in_flight::InFlight};
#[cfg(feature = "runs")]
use crate::connection::OnRefusal;
use crate::{
    BoxError,
    body::{EventStream, Inherited, Shutdown, SseBody, StreamRecord},
    connection::{Client, CloseReason, Disconnect, DisconnectGuard, accepts_event_stream},
    options::{ResolvedOptions, StreamOptions},
};

/// The facts about a request that determine its response. Computed when the request arrives.
#[derive(Clone, Copy)]
pub(super) struct RequestInfo {
    client: Client,
    /// Whether the request is a call that arrived after the shutdown had begun.
    arrived_during_shutdown: bool,
    is_head: bool,
    accepts_stream: bool,
}

/// The reason a stream is not opened.
#[derive(Clone, Copy)]
pub(super) enum NotOpened {
    NotAcceptable,
    /// The server is shutting down, or the limit of open streams is reached.
    Unavailable,
}

/// A stream's permit under the limit of open streams, or `None` if it does not need one.
type Permit = Option<OwnedSemaphorePermit>;

/// A mark that a layer leaves in a response's extensions for outer layers.
#[derive(Clone)]
enum Handled {
    /// The response is an event stream. If its layer has no shutdown, an outer layer can put its
    /// own shutdown here.
    Stream(Option<Inherited>),
    /// The response is a refusal, which can look like an event stream.
    Refused,
}

impl Config {
    #[inline]
    pub(super) fn request_info(&self, method: &Method, headers: &HeaderMap) -> RequestInfo {
        let client = Client::of(method, headers);
        RequestInfo {
            client,
            arrived_during_shutdown: client.is_call() && self.is_draining(),
            is_head: method == Method::HEAD,
            accepts_stream: !self.require_accept || accepts_event_stream(headers),
        }
    }

    /// Starts tracking the response to a request, unless an outer layer tracks it. If the service
    /// returns bare streams, this also opens or refuses the stream.
    #[cold]
    pub(super) fn track<B>(
        &self,
        request: &mut Request<B>,
        info: RequestInfo,
        returns_streams: bool,
    ) -> Result<Option<Box<InFlight>>, NotOpened> {
        let permit = if returns_streams { self.admit(info)? } else { None };
        let guard = if request.extensions().get::<Disconnect>().is_some() {
            None
        } else {
            let disconnect = Disconnect::new();
            request.extensions_mut().insert(disconnect.clone());
            Some(DisconnectGuard::new(disconnect))
        };
        let in_flight = if returns_streams && !info.is_head {
            Some(InFlight::Stream(self.open(&self.options, permit, guard)))
        } else {
            guard.map(InFlight::Disconnect)
        };
        Ok(in_flight.map(Box::new))
    }

    /// Decides whether a stream may open for this request, and takes its permit.
    fn admit(&self, info: RequestInfo) -> Result<Permit, NotOpened> {
        if !info.accepts_stream {
            return Err(NotOpened::NotAcceptable);
        }
        if info.is_head {
            return Ok(None);
        }
        if self.is_barred_by_shutdown(info) {
            return Err(NotOpened::Unavailable);
        }
        match &self.permits {
            None => Ok(None),
            Some(permits) => match Arc::clone(permits).try_acquire_owned() {
                Ok(permit) => Ok(Some(permit)),
                Err(_) => Err(NotOpened::Unavailable),
            },
        }
    }

    /// Returns whether the shutdown prevents a stream from opening. A call that arrived before the
    /// shutdown is answered, because the handler has already acted on it.
    fn is_barred_by_shutdown(&self, info: RequestInfo) -> bool {
        if info.client.is_call() { info.arrived_during_shutdown } else { self.is_draining() }
    }

    fn is_draining(&self) -> bool {
        self.shutdown.as_ref().is_some_and(CancellationToken::is_cancelled)
    }

    fn open(
        &self,
        options: &ResolvedOptions,
        permit: Permit,
        disconnect: Option<DisconnectGuard>,
    ) -> StreamRecord {
        StreamRecord::open(
            self.stats.clone(),
            &self.on_open,
            options.on_close(),
            disconnect,
            permit,
        )
    }

    /// Completes a response that is an event stream or that is tracked.
    // Out of line, so that all other responses pay only for the check.
    #[cold]
    pub(super) fn respond<B>(
        &self,
        response: Response<B>,
        info: RequestInfo,
        in_flight: Option<Box<InFlight>>,
    ) -> Response<SseBody<B>>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let in_flight = in_flight.map(|in_flight| *in_flight);
        if headers::is_event_stream(response.status(), response.headers()) {
            self.respond_with_stream(response, info, in_flight)
        } else {
            pass(response, info, in_flight)
        }
    }

    fn respond_with_stream<B>(
        &self,
        mut response: Response<B>,
        info: RequestInfo,
        in_flight: Option<InFlight>,
    ) -> Response<SseBody<B>>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        let options = response.extensions_mut().remove::<StreamOptions>();
        let may_be_refused = response.status() == StatusCode::OK;
        if may_be_refused && !info.accepts_stream {
            end(in_flight, CloseReason::Ended);
            return self.refuse(response, NotOpened::NotAcceptable, info);
        }
        if let Some(handled) = response.extensions().get::<Handled>().cloned() {
            return self.pass_handled(response, info, in_flight, &handled);
        }
        let options = match options {
            Some(options) => Arc::new(self.options.with(options)),
            None => Arc::clone(&self.options),
        };
        let record = if info.is_head {
            end(in_flight, CloseReason::Ended);
            None
        } else {
            match self.open_response(info, &options, in_flight, may_be_refused) {
                Ok(record) => Some(record),
                Err(not_opened) => return self.refuse(response, not_opened, info),
            }
        };
        let has_content_coding = headers::has_content_coding(response.headers());
        headers::make_event_stream(response.headers_mut());
        let Some(record) = record else {
            response.extensions_mut().insert(Handled::Stream(None));
            return response.map(|_| SseBody::unsent());
        };
        let shutdown = Shutdown::of(self.shutdown.as_ref());
        response.extensions_mut().insert(Handled::Stream(shutdown.inherited()));
        response.map(|source| {
            let stream = EventStream::new(
                source,
                has_content_coding,
                options,
                shutdown,
                info.client,
                record,
            );
            SseBody::event_stream(stream)
        })
    }

    /// Completes a response that an inner layer has handled.
    ///
    /// A stream is refused if this layer's shutdown has begun. Otherwise it inherits this layer's
    /// shutdown, unless the inner layer has one.
    fn pass_handled<B: Body>(
        &self,
        response: Response<B>,
        info: RequestInfo,
        in_flight: Option<InFlight>,
        handled: &Handled,
    ) -> Response<SseBody<B>> {
        if let (Handled::Stream(inherited), Some(shutdown)) = (handled, &self.shutdown) {
            let may_be_refused = response.status() == StatusCode::OK && !info.is_head;
            if may_be_refused && self.is_barred_by_shutdown(info) {
                end(in_flight, CloseReason::Ended);
                return self.refuse(response, NotOpened::Unavailable, info);
            }
            if let Some(inherited) = inherited {
                _ = inherited.set(shutdown.clone());
            }
        }
        pass(response, info, in_flight)
    }

    /// Opens the stream of a response, unless it was opened when the service was called.
    fn open_response(
        &self,
        info: RequestInfo,
        options: &ResolvedOptions,
        in_flight: Option<InFlight>,
        may_be_refused: bool,
    ) -> Result<StreamRecord, NotOpened> {
        let guard = match in_flight {
            Some(InFlight::Stream(record)) => return Ok(record),
            Some(InFlight::Disconnect(guard)) => Some(guard),
            None => None,
        };
        let permit = match self.admit(info) {
            Ok(permit) => permit,
            Err(_) if !may_be_refused => None,
            Err(not_opened) => {
                end(guard.map(InFlight::Disconnect), CloseReason::Ended);
                return Err(not_opened);
            }
        };
        Ok(self.open(options, permit, guard))
    }

    /// Turns `response` into a refusal.
    #[cold]
    pub(super) fn refuse<B, C>(
        &self,
        response: Response<B>,
        not_opened: NotOpened,
        info: RequestInfo,
    ) -> Response<SseBody<C>> {
        #[cfg_attr(not(feature = "runs"), allow(unused_mut))]
        let mut response = response.map(drop);
        #[cfg(feature = "runs")]
        if let Some(on_refusal) = response.extensions_mut().remove::<OnRefusal>() {
            on_refusal.call();
        }
        match not_opened {
            NotOpened::NotAcceptable => {
                let mut response = response.map(|()| SseBody::empty());
                *response.status_mut() = StatusCode::NOT_ACCEPTABLE;
                headers::make_empty(response.headers_mut());
                response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
                response
            }
            NotOpened::Unavailable => {
                self.stats.refused();
                debug!("an event stream was refused");
                self.refusal.answer(response, info.client, SseBody::whole)
            }
        }
    }
}

/// Marks a response as a refusal, which an outer layer must not treat as a stream.
pub(super) fn mark_refused(extensions: &mut Extensions) {
    extensions.insert(Handled::Refused);
}

/// Removes an inner layer's mark from a response whose body is replaced by a recorded run.
#[cfg(feature = "runs")]
pub(crate) fn disown(extensions: &mut Extensions) {
    extensions.remove::<Handled>();
}

/// Passes through a response that is not a stream of this layer. A tracked response with a body
/// ends when the body does.
fn pass<B: Body>(
    response: Response<B>,
    info: RequestInfo,
    in_flight: Option<InFlight>,
) -> Response<SseBody<B>> {
    match in_flight {
        Some(InFlight::Disconnect(guard))
            if !info.is_head && headers::has_body(response.status()) =>
        {
            response.map(|body| SseBody::tracked(body, guard))
        }
        in_flight => {
            end(in_flight, CloseReason::Ended);
            response.map(SseBody::pass_through)
        }
    }
}

fn end(in_flight: Option<InFlight>, reason: CloseReason) {
    if let Some(in_flight) = in_flight {
        in_flight.end(reason);
    }
}
