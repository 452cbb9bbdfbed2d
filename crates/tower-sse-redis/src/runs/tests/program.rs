//! Processes that share the run of one key, and their clients.

use std::sync::{Arc, Mutex};
use std::{fmt::Debug, time::Duration};

use futures_util::{Stream, StreamExt, stream};
use http::{Request, Response, request::Parts};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tower_sse::runs::{
    Attachment, Outcome, Run, RunBody, RunEnd, RunError, RunKey, RunStore, Runs, RunsBuilder,
    StartError,
};
use tower_sse::{Event, LastEventId};

/// One process: its runs, and its connection to the store.
pub(crate) struct Program<W = ()> {
    pub(crate) runs: Runs,
    pub(crate) store: W,
    pub(crate) ends: Arc<Mutex<Vec<RunEnd>>>,
}

impl<W> Program<W> {
    pub(crate) async fn with(
        store: impl RunStore<Error: Debug>,
        connection: W,
        builder: RunsBuilder,
    ) -> Self {
        let ends: Arc<Mutex<Vec<RunEnd>>> = Arc::default();
        let seen = Arc::clone(&ends);
        let builder = builder.on_end(move |end: &RunEnd| seen.lock().unwrap().push(end.clone()));
        Self { runs: builder.connect(store).await.unwrap(), store: connection, ends }
    }

    /// Starts a run that the test feeds. Returns `None` if the key has a run already.
    pub(crate) async fn start(&self) -> Option<Source> {
        self.try_start(&key(), None).await.unwrap()
    }

    pub(crate) async fn try_start(
        &self,
        key: &RunKey,
        last: Option<&LastEventId>,
    ) -> Result<Option<Source>, StartError> {
        let (source, stream) = source();
        let mut is_called = false;
        let start = || {
            is_called = true;
            stream
        };
        soon(self.runs.start(key, &request(last), start)).await?;
        Ok(is_called.then_some(source))
    }

    /// Replaces the run with the key by one that the test feeds.
    pub(crate) async fn replace(&self) -> Source {
        let (source, stream) = source();
        soon(self.runs.replace(&key(), None, || stream)).await.unwrap();
        source
    }

    /// Stops the run with the key. Returns whether it was live.
    pub(crate) async fn cancel(&self) -> bool {
        soon(self.runs.cancel(&key(), None)).await
    }

    pub(crate) async fn get(&self) -> Option<Run> {
        self.get_as(&key()).await
    }

    pub(crate) async fn get_as(&self, key: &RunKey) -> Option<Run> {
        soon(self.runs.get(key)).await
    }

    /// Attaches a client of a request to the run with the key.
    pub(crate) async fn attach(&self) -> Attachment {
        self.attach_as(&key()).await
    }

    pub(crate) async fn attach_as(&self, key: &RunKey) -> Attachment {
        let run = self.get_as(key).await.expect("a run");
        soon(run.attach(None)).await.expect("an attachment")
    }

    /// Answers a request to the run with the key, whichever process owns the run.
    pub(crate) async fn answer(&self, last: Option<&LastEventId>) -> Response<RunBody> {
        soon(self.runs.answer(&key(), &request(last))).await.expect("an answer")
    }

    pub(crate) async fn status(&self, last: Option<&LastEventId>) -> u16 {
        self.answer(last).await.status().as_u16()
    }

    pub(crate) fn outcomes(&self) -> Vec<Outcome> {
        self.ends.lock().unwrap().iter().map(|end| end.outcome).collect()
    }
}

/// Returns the key of the run.
pub(crate) fn key() -> RunKey {
    RunKey::new("user", "turn").unwrap()
}

pub(crate) type Source = UnboundedSender<Result<Event, &'static str>>;

/// Returns a stream of events that the test feeds, and ends by dropping the source.
pub(crate) fn source() -> (Source, impl Stream<Item = Result<Event, &'static str>> + Send + 'static)
{
    let (sender, receiver) = unbounded_channel();
    let next = |mut receiver: UnboundedReceiver<_>| async {
        receiver.recv().await.map(|event| (event, receiver))
    };
    (sender, stream::unfold(receiver, next))
}

pub(crate) fn send(source: &Source, texts: &[&str]) {
    for text in texts {
        source.send(Ok(Event::from(*text))).unwrap();
    }
}

/// Waits for a future that must be ready within a minute, which can be one of a paused clock.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future).await.expect("within a minute")
}

/// Returns the head of a `GET` request with an id.
pub(crate) fn request(last: Option<&LastEventId>) -> Parts {
    let mut request = Request::get("/").body(()).unwrap();
    if let Some(last) = last {
        request.extensions_mut().insert(last.clone());
    }
    request.into_parts().0
}

/// Reads the next `count` events of a client. Returns their data.
pub(crate) async fn read(client: &mut Attachment, count: usize) -> Vec<String> {
    let mut data = Vec::new();
    while data.len() < count {
        match soon(client.next()).await {
            Some(Ok(events)) => data.extend(data_of(events.as_bytes())),
            other => panic!("{other:?} after {data:?}"),
        }
    }
    assert_eq!(data.len(), count, "{data:?}");
    data
}

/// Reads the events of a client until the end of the stream, and returns its error too.
pub(crate) async fn read_all(mut client: Attachment) -> (Vec<String>, Option<RunError>) {
    let mut data = Vec::new();
    loop {
        match soon(client.next()).await {
            Some(Ok(events)) => data.extend(data_of(events.as_bytes())),
            Some(Err(error)) => return (data, Some(error)),
            None => return (data, None),
        }
    }
}

/// Asserts that a client reads these events and then a clean end.
pub(crate) async fn assert_whole(client: Attachment, expected: &[&str]) {
    let (data, error) = read_all(client).await;
    assert!(error.is_none(), "{error:?} after {data:?}");
    assert_eq!(data, expected);
}

/// Asserts that a client reads these events and then an error with this outcome.
pub(crate) async fn assert_fails(
    client: Attachment,
    expected: &[&str],
    outcome: impl Into<Option<Outcome>>,
) {
    let (data, error) = read_all(client).await;
    assert_eq!(error.expect("an error").outcome(), outcome.into());
    assert_eq!(data, expected);
}

/// Reads a body until its end.
pub(crate) async fn text<B: Body<Error: Debug>>(answer: Response<B>) -> String {
    let bytes = soon(answer.into_body().collect()).await.unwrap().to_bytes();
    str::from_utf8(&bytes).unwrap().to_owned()
}

fn data_of(bytes: &[u8]) -> Vec<String> {
    let text = str::from_utf8(bytes).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
}
