use std::{error::Error, fmt, sync::Arc};

use bytes::Bytes;
use http::{Response, StatusCode};
#[cfg(feature = "json")]
use serde_json::{Value, json};

use crate::{BoxError, event::Event, signals::Interrupted, signals::REFUSED_LATE};

/// Turns a late response into the last event of its stream.
pub(super) type LateEvent = Arc<dyn Fn(&Response<Bytes>) -> Option<Event> + Send + Sync>;

/// The error with which a stream fails if the service's late response can't be passed on.
///
/// [`on_error`](crate::SseLayer::on_error) can turn it into an event:
///
/// ```
/// use tower_sse::{Event, SseLayer, early_head::LateResponse};
///
/// # let layer: SseLayer =
/// SseLayer::new().on_error(|error| match error.downcast_ref::<LateResponse>() {
///     Some(late) => Event::new().event("failed").data(late.response().status().as_str()),
///     None => Event::new().event("failed").data("500"),
/// });
/// ```
pub struct LateResponse {
    response: Response<Bytes>,
}

impl LateResponse {
    pub(super) fn boxed(response: Response<Bytes>) -> BoxError {
        Box::new(Self { response })
    }

    /// Returns the response. The body is empty if it was larger than 64 KiB, or if it was a `2xx`
    /// event stream with a content coding.
    #[must_use]
    pub const fn response(&self) -> &Response<Bytes> {
        &self.response
    }
}

opaque_debug!(LateResponse);

impl fmt::Display for LateResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.response.status();
        write!(f, "the service answered {status} after the head of an event stream had been sent")
    }
}

impl Error for LateResponse {
    /// Returns the cause by which the layer stops an `EventSource`, if the status is `204` or `4xx`:
    /// had the service answered in time, this status would have stopped the client.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let status = self.response.status();
        let stops = status == StatusCode::NO_CONTENT || status.is_client_error();
        stops.then_some(&Interrupted("no event stream follows", REFUSED_LATE))
    }
}

/// Turns a late error into an event that makes OpenAI's SDKs raise an error: `APIError` in Python
/// and JavaScript, `ArgumentOutOfRangeException` in .NET. Pass this function to
/// [`late_event`](super::EarlyHeadLayer::late_event).
///
/// The data has the `error`, and a choice whose `finish_reason` is `error`, at which the SDK for
/// .NET raises. With the Responses API, that SDK raises at no event, so let the body fail instead:
/// call no `late_event`. If the response is JSON with an `error` object, that object is used.
/// Otherwise, the response's text, or its status if there is no text, becomes the error's
/// `message`. In both cases, `status` is set to the status code. Returns `None` if the response is
/// a success.
#[must_use]
#[cfg(feature = "json")]
pub fn openai_error(late: &Response<Bytes>) -> Option<Event> {
    let choice = json!({ "index": 0, "delta": {}, "finish_reason": "error" });
    let data = json!({ "error": error_of(late)?, "choices": [choice] });
    Some(Event::new().data(data.to_string()))
}

/// Turns a late error into an event that makes Anthropic's SDKs raise `APIStatusError` (Python) or
/// `APIError` (JavaScript). The event is named `error`, and its data is `{"type": "error", "error":
/// …}`. In all else, it works like [`openai_error`].
#[must_use]
#[cfg(feature = "json")]
pub fn anthropic_error(late: &Response<Bytes>) -> Option<Event> {
    let data = json!({ "type": "error", "error": error_of(late)? });
    Some(Event::new().event("error").data(data.to_string()))
}

/// Returns the error of a response, with the response's status, or `None` for a success.
#[cfg(feature = "json")]
fn error_of(late: &Response<Bytes>) -> Option<Value> {
    let status = late.status();
    if status.is_success() {
        return None;
    }
    let mut body: Value = serde_json::from_slice(late.body()).unwrap_or_default();
    let mut error = match body.get_mut("error").map(Value::take) {
        Some(error @ Value::Object(_)) => error,
        _ => {
            let text = String::from_utf8_lossy(late.body());
            let message = if text.is_empty() { status.to_string().into() } else { text };
            json!({ "type": "api_error", "message": message })
        }
    };
    error.as_object_mut()?.insert("status".into(), status.as_u16().into());
    Some(error)
}
