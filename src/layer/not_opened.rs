use http::{HeaderValue, Response, StatusCode, header::VARY};

use super::{Config, Refusal, RequestInfo};
use crate::{body::SseBody, headers, signals::OnRefusal};

/// The reason a stream is not opened.
#[derive(Clone, Copy)]
pub(super) enum NotOpened {
    NotAcceptable,
    /// The server is shutting down, or the limit of open streams is reached.
    Unavailable,
    /// One of the stream's subjects has no place left.
    Limited,
}

impl NotOpened {
    /// Turns `response` into the answer to a client whose stream is not opened.
    #[cold]
    pub(super) fn answer<B, C>(
        self,
        config: &Config,
        request: RequestInfo,
        response: Response<B>,
    ) -> Response<SseBody<C>> {
        let mut response = response.map(drop);
        if let Some(on_refusal) = response.extensions_mut().remove::<OnRefusal>() {
            on_refusal.call();
        }
        match self {
            Self::NotAcceptable => {
                let mut response = response.map(|()| SseBody::empty());
                *response.status_mut() = StatusCode::NOT_ACCEPTABLE;
                headers::make_empty(response.headers_mut());
                response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
                response
            }
            Self::Unavailable => {
                config.stats.refused();
                debug!("an event stream was refused");
                config.refusal.refuse(response, request.client, SseBody::whole)
            }
            Self::Limited => {
                config.stats.refused();
                debug!("an event stream was refused at the limit of a subject");
                Refusal::too_many_requests().refuse(response, request.client, SseBody::whole)
            }
        }
    }
}
