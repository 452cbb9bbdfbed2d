use std::collections::VecDeque;

use super::*;

/// One frame, the error or the end of the body of a [`Feed`].
type Step = Option<Result<Frame<Bytes>, BoxError>>;

/// A handle that feeds a body. The body is pending until the handle sends the next step.
#[derive(Clone, Default)]
pub struct Feed(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    steps: VecDeque<Step>,
    waker: Option<Waker>,
    polls: usize,
}

pub struct FedBody(Feed);

impl Feed {
    pub fn new() -> (Self, FedBody) {
        let feed = Self::default();
        (feed.clone(), FedBody(feed))
    }

    /// Sends `text`, and asserts that `body` yields it unchanged.
    #[track_caller]
    pub fn passes<B>(&self, text: &'static str, body: &mut B)
    where
        B: Body<Data = Bytes, Error: ToString> + Unpin,
    {
        self.data(text);
        assert_eq!(poll_frame(body), data(text));
    }

    pub fn data(&self, bytes: impl Into<Bytes>) {
        self.tell(Some(Ok(Frame::data(bytes.into()))));
    }

    pub fn trailers(&self, trailers: HeaderMap) {
        self.tell(Some(Ok(Frame::trailers(trailers))));
    }

    pub fn fail(&self, error: impl Into<BoxError>) {
        self.tell(Some(Err(error.into())));
    }

    pub fn end(&self) {
        self.tell(None);
    }

    pub fn is_dropped(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

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

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step> {
        let mut script = self.0.0.lock().unwrap();
        script.polls += 1;
        let Some(step) = script.steps.pop_front() else {
            script.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        Poll::Ready(step)
    }
}

/// Passes an event stream through `layer`. Returns the handle that feeds the stream, and the
/// layer's body.
pub fn fed(layer: &SseLayer) -> (Feed, SseBody<FedBody>) {
    fed_to(Request::new(()), layer)
}

/// As [`fed`], in answer to `request`.
pub fn fed_to(request: Request<()>, layer: &SseLayer) -> (Feed, SseBody<FedBody>) {
    let (feed, source) = Feed::new();
    (feed, answer_to(request, layer, event_stream(source)).into_body())
}
