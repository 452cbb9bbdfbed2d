use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body;
use tokio::sync::OwnedSemaphorePermit;

use super::{Config, InFlight, NotOpened, RequestInfo, Tracked};
use crate::{
    BoxError,
    body::{Shutdown, SseBody, StreamRecord, StreamState},
    connection::{Client, CloseReason},
    headers,
    options::{ResolvedOptions, StreamOptions},
    signals::{Handled, NothingMore},
    streams::Membership,
};

/// The decision on a response: it becomes a stream of this layer (for `HEAD`, only the headers of
/// one), is refused, becomes `204` or passes through.
impl InFlight {
    /// Completes a response that is an event stream or that is tracked.
    // Out of line, so that all other responses pay only for the check.
    #[cold]
    pub(super) fn complete<B>(&mut self, mut response: Response<B>) -> Response<SseBody<B>>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        if !headers::is_event_stream(response.status(), response.headers()) {
            return self.pass(response);
        }
        let options = response.extensions_mut().remove::<StreamOptions>();
        let may_be_refused = response.status() == StatusCode::OK;
        if may_be_refused && !self.request.accepts_stream {
            return self.refuse(response, NotOpened::NotAcceptable);
        }
        if let Some(handled) = response.extensions().get::<Handled>().cloned() {
            return self.pass_handled(response, &handled);
        }
        if may_be_refused && self.is_complete(&mut response) {
            self.end(CloseReason::Ended);
            return nothing_more(response);
        }
        let options =
            ResolvedOptions::of_stream(&self.config.options, self.options.take(), options);
        if self.request.is_head {
            return self.complete_head(response);
        }
        let joined = match self.subjects.take() {
            Some(subjects) => subjects.open(may_be_refused).map_err(|_| NotOpened::Limited),
            None => Ok(None),
        };
        let opened =
            joined.and_then(|member| Ok((member, self.open_stream(&options, may_be_refused)?)));
        match opened {
            Ok((membership, record)) => self.start_stream(response, options, membership, record),
            Err(not_opened) => self.refuse(response, not_opened),
        }
    }

    /// Returns whether the client would reconnect although it has received everything.
    fn is_complete<B>(&self, response: &mut Response<B>) -> bool {
        response.extensions_mut().remove::<NothingMore>().is_some()
            && self.request.client == Client::EventSource
    }

    /// Answers a `HEAD` request with the headers of the stream.
    fn complete_head<B>(&mut self, mut response: Response<B>) -> Response<SseBody<B>> {
        self.end(CloseReason::Ended);
        self.config.make_event_stream(response.headers_mut());
        Handled::Stream(None).mark(response.extensions_mut());
        response.map(|_| SseBody::unsent())
    }

    fn start_stream<B>(
        &mut self,
        mut response: Response<B>,
        options: Arc<ResolvedOptions>,
        membership: Option<Membership>,
        record: StreamRecord,
    ) -> Response<SseBody<B>> {
        let has_content_coding = headers::has_content_coding(response.headers());
        self.config.make_event_stream(response.headers_mut());
        let shutdown = Shutdown::of(self.config.shutdown.as_ref());
        Handled::Stream(shutdown.inherited()).mark(response.extensions_mut());
        let client = self.request.client;
        response.map(|source| {
            let state =
                StreamState::new(has_content_coding, options, shutdown, client, membership, record);
            SseBody::event_stream(source, state)
        })
    }

    /// Completes a response that an inner layer has handled.
    ///
    /// A stream with status 200 is refused if this layer's shutdown bars it. Any other stream
    /// inherits this layer's shutdown, unless the inner layer has one.
    fn pass_handled<B: Body>(
        &mut self,
        response: Response<B>,
        handled: &Handled,
    ) -> Response<SseBody<B>> {
        if let (Handled::Stream(inherited), Some(shutdown)) = (handled, &self.config.shutdown) {
            let may_be_refused = response.status() == StatusCode::OK && !self.request.is_head;
            if may_be_refused && self.config.is_barred_by_shutdown(self.request) {
                return self.refuse(response, NotOpened::Unavailable);
            }
            if let Some(inherited) = inherited {
                _ = inherited.set(shutdown.clone());
            }
        }
        self.pass(response)
    }

    /// Opens the stream of a response, unless it was opened when the service was called.
    fn open_stream(
        &mut self,
        options: &ResolvedOptions,
        may_be_refused: bool,
    ) -> Result<StreamRecord, NotOpened> {
        let guard = match self.tracked.take() {
            Some(Tracked::Stream(mut record)) => {
                record.note_head();
                return Ok(record);
            }
            Some(Tracked::Disconnect(guard)) => Some(guard),
            None => None,
        };
        let permit = match self.config.admit(self.request) {
            Ok(permit) => permit,
            Err(_) if !may_be_refused => None,
            Err(not_opened) => {
                self.tracked = guard.map(Tracked::Disconnect);
                return Err(not_opened);
            }
        };
        let mut observation = self.observation.take();
        if let Some(observation) = &mut observation {
            observation.note_head();
        }
        Ok(self.config.open(options, permit, guard, observation))
    }

    fn refuse<B, C>(&mut self, response: Response<B>, reason: NotOpened) -> Response<SseBody<C>> {
        self.end(CloseReason::Ended);
        reason.answer(&self.config, self.request, response)
    }

    /// Passes through a response that is not a stream of this layer. A tracked response with a body
    /// ends when the body does.
    fn pass<B: Body>(&mut self, mut response: Response<B>) -> Response<SseBody<B>> {
        Handled::count_refusal(response.extensions_mut(), &self.config.stats);
        let has_body = !self.request.is_head && headers::has_body(response.status());
        match self.tracked.take() {
            Some(Tracked::Disconnect(guard)) if has_body => {
                response.map(|body| SseBody::tracked(body, guard))
            }
            tracked => {
                self.tracked = tracked;
                self.end(CloseReason::Ended);
                response.map(SseBody::pass_through)
            }
        }
    }
}

impl Config {
    /// Decides whether a stream may open for this request, and takes its permit.
    pub(super) fn admit(
        &self,
        request: RequestInfo,
    ) -> Result<Option<OwnedSemaphorePermit>, NotOpened> {
        if !request.accepts_stream {
            return Err(NotOpened::NotAcceptable);
        }
        if request.is_head {
            return Ok(None);
        }
        if self.is_barred_by_shutdown(request) {
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
    pub(super) fn is_barred_by_shutdown(&self, request: RequestInfo) -> bool {
        if request.client.is_call() { request.arrived_during_shutdown } else { self.is_draining() }
    }
}

/// Turns a stream into `204`, after which an `EventSource` does not reconnect.
fn nothing_more<B>(mut response: Response<B>) -> Response<SseBody<B>> {
    *response.status_mut() = StatusCode::NO_CONTENT;
    headers::make_empty(response.headers_mut());
    response.map(|_| SseBody::empty())
}
