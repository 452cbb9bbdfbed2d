//! A service whose answers tests decide, behind the layers, and clients that are polled by hand.

use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::*;

pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;
pub(crate) type Answer = Response<SseBody<SseBody<Body>>>;

pub(crate) type Reply = Result<Response<Body>, BoxError>;

/// The service: it makes calls wait until the test replies.
#[derive(Clone, Default)]
pub(crate) struct Handler(Arc<Mutex<Calls>>);

#[derive(Default)]
struct Calls {
    seen: Vec<Request<()>>,
    waiting: VecDeque<oneshot::Sender<Option<Reply>>>,
}

impl Handler {
    pub(crate) fn service(
        &self,
    ) -> ServiceFn<impl FnMut(Request<()>) -> BoxFuture<'static, Reply> + Clone + use<>> {
        let calls = Arc::clone(&self.0);
        service_fn(move |request| {
            let (sender, reply) = oneshot::channel();
            let mut calls = calls.lock().unwrap();
            calls.seen.push(request);
            calls.waiting.push_back(sender);
            let reply = async {
                match reply.await {
                    Ok(Some(reply)) => reply,
                    Ok(None) => panic!("the handler panicked"),
                    Err(_) => pending().await,
                }
            };
            reply.boxed()
        })
    }

    pub(crate) fn calls(&self) -> usize {
        self.0.lock().unwrap().seen.len()
    }

    pub(crate) fn extensions(&self) -> http::Extensions {
        self.0.lock().unwrap().seen.last().unwrap().extensions().clone()
    }

    /// Returns whether the oldest call that has no reply was dropped.
    pub(crate) fn is_dropped(&self) -> bool {
        self.0.lock().unwrap().waiting.front().unwrap().is_closed()
    }

    /// Replies to the oldest call that waits.
    pub(crate) fn reply(&self, reply: Reply) {
        let waiting = self.0.lock().unwrap().waiting.pop_front().expect("a call");
        _ = waiting.send(Some(reply));
    }

    /// Replies to the newest call, and lets others wait.
    pub(crate) fn reply_newest_with_json(&self) {
        let newest = self.0.lock().unwrap().waiting.pop_back().expect("a call");
        self.0.lock().unwrap().waiting.push_front(newest);
        self.json();
    }

    pub(crate) fn panic(&self) {
        let waiting = self.0.lock().unwrap().waiting.pop_front().expect("a call");
        _ = waiting.send(None);
    }

    pub(crate) fn stream(&self) -> Feed {
        let (feed, body) = Feed::new();
        self.reply(Ok(event_stream(body.boxed_unsync())));
        feed
    }

    pub(crate) fn json(&self) {
        let response = Response::builder().header("content-type", "application/json");
        self.reply(Ok(response.body(full("{}")).unwrap()));
    }
}

/// Returns the key of a request: its header `owner`, and its path.
pub(crate) fn key(request: &Request<()>) -> Option<Result<RunKey, InvalidKey>> {
    let owner = request.headers().get("owner")?.to_str().ok()?;
    Some(RunKey::new(owner, request.uri().path()))
}

/// Returns the key of the requests of a [`Rig`].
pub(crate) fn turn() -> RunKey {
    RunKey::new("ann", "/turn").unwrap()
}

/// A service inside the layer of `runs`, which is inside `layer`.
#[derive(Clone)]
pub(crate) struct Rig {
    pub(crate) runs: Runs,
    pub(crate) handler: Handler,
    pub(crate) layer: SseLayer,
}

impl Rig {
    pub(crate) fn new(runs: Runs) -> Self {
        Self {
            runs,
            handler: Handler::default(),
            layer: SseLayer::new().terminator("[DONE]").without_heartbeat(),
        }
    }

    pub(crate) fn send(&self, request: Request<()>) -> Pending {
        let service = self.layer.layer(self.runs.layer(key).layer(self.handler.service()));
        Pending(tokio::spawn(service.oneshot(request)))
    }

    /// Sends a request, and lets its call wait for the reply.
    pub(crate) async fn call(&self, request: Request<()>) -> Pending {
        let pending = self.send(request);
        settle().await;
        pending
    }

    pub(crate) async fn stream(&self, request: Request<()>) -> (Feed, Client) {
        let pending = self.call(request).await;
        let feed = self.handler.stream();
        (feed, pending.client().await)
    }

    /// Starts a run of one event, which its client has read.
    pub(crate) async fn running(self) -> (Self, Feed, Client) {
        let (feed, mut client) = self.stream(post()).await;
        feed.data("data: a\n\n");
        assert_eq!(client.read().await, ["a"]);
        (self, feed, client)
    }

    /// Ends the run of `feed` with `outcome`. For `Abandoned`, the run's clients must have left.
    pub(crate) async fn end(&self, outcome: Outcome, feed: &Feed) {
        match outcome {
            Outcome::Completed => feed.end(),
            Outcome::Failed => feed.fail("no more tokens"),
            Outcome::Cancelled => assert!(self.runs.cancel(&turn(), None).await),
            Outcome::Interrupted => self.runs.drain(Duration::ZERO).await,
            _ => tokio::time::advance(Duration::from_secs(601)).await,
        }
        settle().await;
        assert_eq!(self.runs.get(&turn()).await.unwrap().outcome(), Some(outcome));
    }

    /// Starts a run of events that the test sends, and attaches a client.
    pub(crate) async fn started(self) -> (Self, mpsc::UnboundedSender<Event>, Run, Client) {
        let (events, stream) = source();
        let run = self.runs.start(&turn(), None, || stream).await.unwrap();
        let client = Client::new(self.answer(post()).await);
        (self, events, run, client)
    }

    /// Attaches by [`Runs::answer`] in a handler behind the layer. `418` says that there is no run.
    pub(crate) async fn answer(&self, request: Request<()>) -> Answer {
        let key = key(&request).unwrap().unwrap();
        let (parts, ()) = request.into_parts();
        let answer = match self.runs.answer(&key, &parts).await {
            Some(answer) => answer.map(BodyExt::boxed_unsync),
            None => Response::builder().status(StatusCode::IM_A_TEAPOT).body(full("")).unwrap(),
        };
        self.pass(Request::from_parts(parts, ()), answer).await
    }

    pub(crate) async fn pass(&self, request: Request<()>, answer: Response<Body>) -> Answer {
        // The layer of `runs` passes a request without a key through. It only gives the body the
        // type that all bodies of the rig have.
        let inner = self.runs.layer(|_: &Request<()>| None).layer(once(answer));
        self.layer.layer(inner).oneshot(request).await.unwrap()
    }
}

fn once(answer: Response<Body>) -> ServiceFn<impl FnMut(Request<()>) -> Ready<Reply> + Clone> {
    let answer = Arc::new(Mutex::new(Some(answer)));
    service_fn(move |_| ready(Ok(answer.lock().unwrap().take().expect("one request"))))
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

pub(crate) struct Pending(JoinHandle<Result<Answer, BoxError>>);

impl Pending {
    /// Lets all tasks run, and returns the answer if it is there.
    pub(crate) async fn now(&mut self) -> Option<Result<Answer, BoxError>> {
        settle().await;
        if self.0.is_finished() { Some((&mut self.0).await.unwrap()) } else { None }
    }

    pub(crate) async fn answer(mut self) -> Answer {
        if let Some(answer) = self.now().await {
            return answer.unwrap();
        }
        // The head of a `204` is held for a second.
        tokio::time::advance(Duration::from_secs(1)).await;
        self.now().await.expect("an answer").unwrap()
    }

    pub(crate) async fn wait(self) -> Result<Answer, BoxError> {
        self.0.await.expect("the request's future returned")
    }

    pub(crate) async fn client(self) -> Client {
        Client::new(self.answer().await)
    }

    pub(crate) async fn panicked(self) -> bool {
        settle().await;
        self.0.is_finished() && self.0.await.is_err_and(|error| error.is_panic())
    }

    /// Lets the client leave before the head.
    pub(crate) async fn leave(self) {
        self.0.abort();
        _ = self.0.await;
        settle().await;
    }
}

pub(crate) fn source<T>() -> (mpsc::UnboundedSender<T>, UnboundedReceiverStream<T>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, UnboundedReceiverStream::new(receiver))
}

pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

pub(crate) fn data_of(events: &Encoded) -> impl Iterator<Item = &str> {
    field_of(events, "data: ")
}

pub(crate) fn field_of<'e>(events: &'e Encoded, field: &str) -> impl Iterator<Item = &'e str> {
    let text = str::from_utf8(events.as_bytes()).unwrap();
    text.lines().filter_map(move |line| line.strip_prefix(field))
}

pub(crate) fn ended_as(stats: &RunsStats, outcome: Outcome) -> u64 {
    stats.ended_by_outcome().find(|(of, _)| *of == outcome).unwrap().1
}

/// Yields often enough for every other task to run until it waits.
pub(crate) async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

/// Returns a POST by `ann` to `/turn`, whose key is [`turn`].
pub(crate) fn post() -> Request<()> {
    by(Requester::Post)
}

pub(crate) fn by(requester: Requester) -> Request<()> {
    let mut request: Request<()> = requester.request("/turn");
    request.headers_mut().insert("owner", "ann".parse().unwrap());
    request
}

/// Returns the id of another event of the run that has assigned `id`.
pub(crate) fn sibling(id: &str, sequence: u64) -> String {
    let (epoch, _) = id.split_once('-').unwrap();
    format!("{epoch}-{sequence}")
}

pub(crate) fn after(id: &str, mut request: Request<()>) -> Request<()> {
    request.headers_mut().insert("last-event-id", id.parse().unwrap());
    request
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Clean,
    Failed,
}

pub(crate) struct Client {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: SseBody<SseBody<Body>>,
    decoder: Decoder,
    pub(crate) last: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) end: Option<End>,
}

impl Client {
    pub(crate) fn new(answer: Answer) -> Self {
        let (parts, body) = answer.into_parts();
        Self {
            status: parts.status,
            headers: parts.headers,
            body,
            decoder: Decoder::new(),
            last: String::new(),
            bytes: Vec::new(),
            end: None,
        }
    }

    pub(crate) fn read_ready(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while self.end.is_none() {
            match poll_frame(&mut self.body) {
                Polled::Pending => break,
                Polled::End => self.end = Some(End::Clean),
                Polled::Failed(_) => self.end = Some(End::Failed),
                Polled::Trailers(_) => panic!("no trailers are sent"),
                Polled::Data(mut bytes) => {
                    self.bytes.extend_from_slice(&bytes);
                    while let Some(message) = self.decoder.decode(&mut bytes).unwrap() {
                        self.last = message.last_event_id.to_string();
                        messages.push(message);
                    }
                }
            }
        }
        messages
    }

    /// Reads all that there is once all tasks have run: the data of each event, or `<name>` for a
    /// named event whose data is empty or `{}`.
    pub(crate) async fn read(&mut self) -> Vec<String> {
        let mut read = Vec::new();
        loop {
            settle().await;
            let messages = self.read_ready();
            if messages.is_empty() {
                break;
            }
            read.extend(messages);
        }
        // A body fails only a short time after its last bytes, and an answer without events is held
        // for a second.
        tokio::time::advance(Duration::from_millis(1_030)).await;
        settle().await;
        read.extend(self.read_ready());
        let text = |message: Message| match &*message.event {
            "message" => message.data,
            name if matches!(&*message.data, "" | "{}") => format!("<{name}>"),
            _ => message.data,
        };
        read.into_iter().map(text).collect()
    }
}
