use futures_core::Stream;

use crate::*;

/// A body that gives one burst of events each time its task is scheduled.
///
/// Its reader is scheduled again at once, after the tasks that were woken meanwhile.
pub(crate) struct Paced {
    body: EventBody<Bursts>,
    /// Whether the reader has had its frame since its task was last scheduled.
    has_given: bool,
}

/// Returns a response of `events` events, `burst` at a time.
pub(crate) fn response(events: u64, burst: u64, text: &'static str) -> Response<Paced> {
    let bursts = Bursts { left: events, given: 0, burst, text };
    let mut response = Response::new(Paced { body: EventBody::new(bursts), has_given: false });
    let event_stream = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(CONTENT_TYPE, event_stream);
    response
}

/// Makes an event whose data is a string of its own, as it is for most sources.
pub(crate) fn event(text: &'static str) -> Event {
    Event::from(text.to_owned())
}

impl Body for Paced {
    type Data = Bytes;
    type Error = <EventBody<Bursts> as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if !self.has_given {
            let polled = Pin::new(&mut self.body).poll_frame(cx);
            if polled.is_ready() {
                self.has_given = true;
                return polled;
            }
        }
        self.has_given = false;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A stream that is pending after each burst. [`Paced`] wakes the task, not this stream.
pub(crate) struct Bursts {
    left: u64,
    given: u64,
    burst: u64,
    text: &'static str,
}

impl Stream for Bursts {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if self.given == self.burst {
            self.given = 0;
            return Poll::Pending;
        }
        self.given += 1;
        self.left -= 1;
        Poll::Ready(Some(event(self.text)))
    }
}
