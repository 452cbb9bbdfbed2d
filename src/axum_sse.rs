//! The conversion of axum's events.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::response::{IntoResponse, sse};
use futures_core::Stream;
use http_body::Body;

use crate::event::Event;

/// Turns an event of axum's `Sse` into one of this crate, so that a program can change step by step.
/// Its name, id, data, reconnection time and comment stay. Their order doesn't: the id comes last.
/// Each line break in the data becomes a line feed, as which clients read it.
///
/// ```
/// use axum::response::sse;
/// use tower_sse::Event;
///
/// let event = sse::Event::default().event("price").id("7").data("4.2");
/// assert_eq!(Event::from(event), Event::new().event("price").id("7").data("4.2"));
/// ```
impl From<sse::Event> for Event {
    fn from(event: sse::Event) -> Self {
        // axum shows an event's bytes only in the body of an `Sse`.
        let body = sse::Sse::new(Once(Some(event))).into_response().into_body();
        let polled = pin!(body).poll_frame(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Some(Ok(frame))) = polled else { return Self::new() };
        let bytes = frame.into_data().unwrap_or_default();
        let (mut event, mut data, mut comment) = (Self::new(), Vec::new(), Vec::new());
        for line in String::from_utf8_lossy(&bytes).split(['\n', '\r']) {
            let Some((field, value)) = line.split_once(':') else { continue };
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "data" => data.push(value.to_owned()),
                "" => comment.push(value.to_owned()),
                "event" => event = event.clone().try_event(value).unwrap_or(event),
                "id" => event = event.clone().try_id(value).unwrap_or(event),
                "retry" => {
                    event = event.retry(Duration::from_millis(value.parse().unwrap_or(u64::MAX)));
                }
                _ => {}
            }
        }
        if !comment.is_empty() {
            event = event.comment(comment.join("\n"));
        }
        if data.is_empty() { event } else { event.data(data.join("\n")) }
    }
}

struct Once(Option<sse::Event>);

impl Stream for Once {
    type Item = Result<sse::Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.take().map(Ok))
    }
}
