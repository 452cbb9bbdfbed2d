use std::sync::{Arc, Mutex};

use futures_util::{Stream, StreamExt, stream};
use http::{Request, StatusCode, request::Parts};
use http_body_util::BodyExt;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::sleep,
};
use tower_sse::{
    Event, LastEventId,
    runs::{
        Attachment, Outcome, Run, RunEnd, RunKey, Runs, RunsBuilder, StartError, support::Epoch,
    },
};

use super::*;
use crate::runs::seam::RunId;

/// One process of a program: its runs, and its way to the store.
pub(crate) struct Program<W> {
    pub(crate) runs: Runs,
    pub(crate) way: W,
    ends: Arc<Mutex<Vec<RunEnd>>>,
}

impl<W: Way> Program<W> {
    pub(crate) async fn start<O: World<Way = W>>(world: &O, builder: RunsBuilder) -> Self {
        let (store, way) = world.store_and_way().await;
        let ends: Arc<Mutex<Vec<RunEnd>>> = Arc::default();
        let seen = Arc::clone(&ends);
        let builder = builder.on_end(move |end: &RunEnd| seen.lock().unwrap().push(end.clone()));
        Self { runs: builder.connect(store).await.unwrap(), way, ends }
    }

    /// Starts a run that the test feeds. Returns `None` if the key has a run already.
    pub(crate) async fn call(&self) -> Option<Source> {
        self.try_call(None).await.unwrap()
    }

    /// Asks again while the store is out of reach, such as on a busy machine.
    pub(crate) async fn call_until_known(&self) -> Option<Source> {
        soon(async {
            loop {
                match self.try_call(None).await {
                    Err(StartError::Unavailable) => sleep(Duration::from_millis(10)).await,
                    started => return started.unwrap(),
                }
            }
        })
        .await
    }

    pub(crate) async fn try_call(
        &self,
        last: Option<&LastEventId>,
    ) -> Result<Option<Source>, StartError> {
        let (source, stream) = source();
        let mut is_called = false;
        let start = || {
            is_called = true;
            stream
        };
        soon(self.runs.start(&turn(), &request(last), start)).await?;
        Ok(is_called.then_some(source))
    }

    /// Replaces the run by one that the test feeds.
    pub(crate) async fn replace(&self) -> Source {
        let (source, stream) = source();
        soon(self.runs.replace(&turn(), None, || stream)).await.unwrap();
        source
    }

    pub(crate) async fn cancel(&self) -> bool {
        soon(self.runs.cancel(&turn(), None)).await
    }

    pub(crate) async fn get(&self) -> Option<Run> {
        soon(self.runs.get(&turn())).await
    }

    pub(crate) async fn attach(&self) -> Attachment {
        self.attach_after(None).await
    }

    pub(crate) async fn attach_after(&self, last: Option<LastEventId>) -> Attachment {
        let run = self.get().await.expect("a run");
        soon(run.attach(last)).await.expect("an attachment")
    }

    /// Returns the status of an answer, or `None` if the run is unknown.
    pub(crate) async fn status(&self, last: Option<&LastEventId>) -> Option<StatusCode> {
        Some(soon(self.runs.answer(&turn(), &request(last))).await?.status())
    }

    /// Reads the whole answer, and asks again while it is refused.
    pub(crate) async fn answer_until_known(&self, last: Option<&LastEventId>) -> String {
        soon(async {
            loop {
                let answer = self.runs.answer(&turn(), &request(last)).await.expect("a run");
                if answer.status() != StatusCode::SERVICE_UNAVAILABLE {
                    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
                    return String::from_utf8(bytes.to_vec()).unwrap();
                }
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    /// Returns the id of an event of the run of this process.
    pub(crate) async fn id(&self, number: usize) -> LastEventId {
        let messages = self.get().await.expect("a run").messages().expect("its events");
        LastEventId::try_from(&*messages[number - 1].last_event_id).unwrap()
    }

    pub(crate) fn outcomes(&self) -> Vec<Outcome> {
        self.ends.lock().unwrap().iter().map(|end| end.outcome).collect()
    }
}

/// Returns the key of the run.
pub(crate) fn turn() -> RunKey {
    RunKey::new("user", "turn").unwrap()
}

/// Returns the run of an id.
pub(crate) fn run_of(id: &LastEventId) -> RunId {
    let (epoch, _) = id.as_str().split_once('-').unwrap();
    RunId::new(turn(), Epoch::parse(epoch).unwrap())
}

pub(crate) type Source = UnboundedSender<Result<Event, &'static str>>;

/// Returns a stream of events that the test feeds, and ends by dropping the source.
fn source() -> (Source, impl Stream<Item = Result<Event, &'static str>> + Send + 'static) {
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
    data
}

/// Reads the events of a client until the end, or the error's outcome.
async fn read_all(mut client: Attachment) -> (Vec<String>, Result<(), Option<Outcome>>) {
    let mut data = Vec::new();
    loop {
        match soon(client.next()).await {
            Some(Ok(events)) => data.extend(data_of(events.as_bytes())),
            Some(Err(error)) => return (data, Err(error.outcome())),
            None => return (data, Ok(())),
        }
    }
}

/// Asserts that a client reads these events and then a clean end.
pub(crate) async fn assert_whole(client: Attachment, expected: &[&str]) {
    let (data, end) = read_all(client).await;
    assert_eq!(end, Ok(()), "after {data:?}");
    assert_eq!(data, expected);
}

/// Asserts that a client reads these events and then an error with this outcome.
pub(crate) async fn assert_fails(
    client: Attachment,
    expected: &[&str],
    outcome: impl Into<Option<Outcome>>,
) {
    let (data, end) = read_all(client).await;
    assert_eq!(end, Err(outcome.into()), "after {data:?}");
    assert_eq!(data, expected);
}

fn data_of(bytes: &[u8]) -> Vec<String> {
    let text = str::from_utf8(bytes).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
}
