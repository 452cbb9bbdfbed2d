use http::{Response, request::Parts};

use super::{
    AnswerBody,
    response::{not_found, refusal},
};
use crate::{connection::Client, runs::StartError};

impl StartError {
    /// Returns the answer to a request whose run was not started.
    ///
    /// For [`NotFound`](Self::NotFound), it is a `404`. Otherwise, it is like
    /// [`Refusal::per_client`](crate::Refusal::per_client): an `EventSource` gets a response after
    /// which it reconnects, and other clients get a `503` with `Retry-After`.
    #[must_use]
    pub fn answer(&self, parts: &Parts) -> Response<AnswerBody> {
        self.answer_to(Client::of(&parts.method, &parts.headers))
    }

    pub(crate) fn answer_to(self, client: Client) -> Response<AnswerBody> {
        match self {
            Self::NotFound => not_found(),
            _ => refusal(client),
        }
    }
}
