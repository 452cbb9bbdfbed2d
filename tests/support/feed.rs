use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::{Body, Frame};
use tower_sse::{BoxError, SseBody, SseLayer};

use super::answer::{answer_to, event_stream};

/// The next step of the body of a [`Feed`].
enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    Fail(BoxError),
    End,
}

/// A handle that feeds a body. The body is pending while it has no step to take.
#[derive(Clone, Default)]
pub struct Feed(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    steps: VecDeque<Step>,
    waker: Option<Waker>,
    polls: usize,
}

/// The body that a [`Feed`] feeds.
pub struct FedBody(Feed);

impl Feed {
    pub fn new() -> (Self, FedBody) {
        let feed = Self::default();
        (feed.clone(), FedBody(feed))
    }

    pub fn data(&self, bytes: impl Into<Bytes>) {
        self.tell(Step::Data(bytes.into()));
    }

    pub fn trailers(&self, trailers: HeaderMap) {
        self.tell(Step::Trailers(trailers));
    }

    pub fn fail(&self, error: impl Into<BoxError>) {
        self.tell(Step::Fail(error.into()));
    }

    pub fn end(&self) {
        self.tell(Step::End);
    }

    /// Returns whether the body was dropped.
    pub fn is_dropped(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Returns how often the body was polled.
    pub fn polls(&self) -> usize {
        self.0.lock().unwrap().polls
    }

    fn tell(&self, step: Step) {
        let mut script = self.0.lock().unwrap();
        script.steps.push_back(step);
        if let Some(waker) = script.waker.take() {
            waker.wake();
        }
    }
}

impl Body for FedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut script = self.0.0.lock().unwrap();
        script.polls += 1;
        match script.steps.pop_front() {
            None => {
                script.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(Step::Data(bytes)) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Some(Step::Trailers(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Some(Step::Fail(error)) => Poll::Ready(Some(Err(error))),
            Some(Step::End) => Poll::Ready(None),
        }
    }
}

/// Passes an event stream that the test feeds through `layer`, and returns its body.
pub fn fed(layer: &SseLayer) -> (Feed, SseBody<FedBody>) {
    fed_to(Request::new(()), layer)
}

/// As [`fed`], in answer to `request`.
pub fn fed_to(request: Request<()>, layer: &SseLayer) -> (Feed, SseBody<FedBody>) {
    let (feed, source) = Feed::new();
    (feed, answer_to(request, layer, event_stream(source)).into_body())
}
