use crate::{calls::Making, *};

/// The data of the event that follows a whole answer, as in OpenAI's protocol.
const TERMINATOR: &str = "[DONE]";
/// The reconnection time in the options of a call.
const RETRY: Duration = Duration::from_millis(4_321);

/// The status for a client that has all events of an interrupted run.
const INTERRUPTED: StatusCode = StatusCode::GONE;

pub(crate) struct Asking {
    pub(crate) world: World,
    pub(crate) runs: Runs,
    /// The number of the client's answer.
    pub(crate) answer: usize,
    pub(crate) key: usize,
    pub(crate) habit: Habit,
    pub(crate) last: Option<LastEventId>,
    /// The life of the process.
    pub(crate) life: usize,
    /// The time of the request.
    pub(crate) asked: u64,
    pub(crate) rng: Rng,
}

/// The end of one connection, or the refusal of a request.
pub(crate) type Attempt = Result<AnswerEnd, StartError>;

impl Asking {
    /// Starts a run, or attaches to it. With layers, the handler sets options.
    pub(crate) async fn start(self) -> Attempt {
        let (call, rng, key) = (self.call(), self.rng.clone(), self.run_key());
        if !self.world.settings.is_layered {
            let source = move || call().answer(rng);
            let run = self.runs.start(&key, &request(self.last.as_ref()), source).await;
            return self.attach(run.map(Some)).await;
        }
        let handler = service_fn(move |_: Request<()>| {
            let (making, rng) = (call(), rng.clone());
            async move { Ok::<_, Infallible>(handle(making, rng).await) }
        });
        let layer = self.runs.layer(move |_: &Request<()>| Some(Ok(key.clone())));
        self.ask(layer.layer(handler)).await
    }

    pub(crate) async fn replace(self, stop: Option<usize>) -> Attempt {
        let (call, rng, life) = (self.call(), self.rng.clone(), self.life);
        let (key, request) = (self.run_key(), request(self.last.as_ref()));
        let run = self.runs.replace(&key, &request, move || call().answer(rng)).await;
        if let Some(stop) = stop {
            let over = self.world.network.elapsed();
            let mut records = self.world.records();
            let last = records.calls.last();
            let is_own = last.is_some_and(|call| call.life == life && call.began == over);
            records.stops[stop].call = is_own.then(|| records.calls.len() - 1);
            records.stops[stop].over = over;
        }
        self.attach(run.map(Some)).await
    }

    /// Attaches to a run and starts none.
    pub(crate) async fn get(self) -> Attempt {
        let (runs, key) = (self.runs.clone(), self.run_key());
        let parts = request(self.last.as_ref());
        if !self.world.settings.is_layered {
            let run = get(&runs, &key, &parts).await;
            drop(runs);
            return self.attach(run).await;
        }
        let handler = service_fn(move |_: Request<()>| {
            let (runs, key, parts) = (runs.clone(), key.clone(), parts.clone());
            async move {
                let answer = runs.answer(&key, &parts).await;
                let mut answer = answer.unwrap_or_else(|| StartError::NotFound.answer(&parts));
                // For an interrupted run without an event for the client, `answer` returns 404 too.
                if answer.status() == StatusCode::NOT_FOUND
                    && let Some(run) = runs.get(&key).await
                    && run.outcome() == Some(Outcome::Interrupted)
                {
                    *answer.status_mut() = INTERRUPTED;
                }
                Ok::<_, Infallible>(answer)
            }
        });
        self.ask(handler).await
    }

    /// Asks for an event that does not exist.
    pub(crate) async fn forge(self) -> Attempt {
        // This doesn't call `Run::attach`, which would try to reach the store for up to two lease
        // periods.
        let answer = self.runs.answer(&self.run_key(), &request(self.last.as_ref())).await;
        match answer.map(|answer| answer.status()) {
            Some(StatusCode::SERVICE_UNAVAILABLE) => Err(StartError::Unavailable),
            _ => Ok(AnswerEnd::NotFound),
        }
    }

    fn run_key(&self) -> RunKey {
        self.world.settings.key(self.key)
    }

    fn call(&self) -> impl Fn() -> Making + Clone + Send + 'static + use<> {
        let (world, rng) = (self.world.clone(), self.rng.clone());
        let Self { key, life, asked, .. } = *self;
        move || world.begin(Plan::choose(&mut rng.clone()), key, life, asked)
    }

    async fn attach(self, run: Result<Option<Run>, StartError>) -> Attempt {
        let Self { world, runs, answer, habit, last, .. } = self;
        // Keeping this clone would keep the runs alive if the process ends.
        drop(runs);
        let run = match run {
            Ok(Some(run)) => run,
            Ok(None) | Err(StartError::NotFound) => return Ok(AnswerEnd::NotFound),
            Err(error) => return Err(error),
        };
        let Some(events) = run.attach(last).await else {
            return Ok(AnswerEnd::NotFound);
        };
        drop(run);
        let body = tower_sse::response(events).into_body();
        Ok(read(&world, answer, body, habit, AnswerEnd::Whole).await)
    }

    async fn ask<S, B>(self, service: S) -> Attempt
    where
        S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
        B: Body<Data = bytes::Bytes, Error: Into<BoxError>>,
    {
        let Self { world, runs, answer, habit, last, .. } = self;
        let mut request = Request::post("/").body(()).unwrap();
        if let Some(last) = &last {
            let last = HeaderValue::from_str(last.as_str()).unwrap();
            request.headers_mut().insert(LastEventId::HEADER, last);
        }
        let answering = SseLayer::new().layer(service).oneshot(request);
        let Ok(response) = answering.await;
        drop(runs);
        Ok(match response.status() {
            StatusCode::OK => {
                read(&world, answer, response.into_body(), habit, AnswerEnd::Unterminated).await
            }
            StatusCode::NOT_FOUND | StatusCode::INTERNAL_SERVER_ERROR => AnswerEnd::NotFound,
            StatusCode::SERVICE_UNAVAILABLE => return Err(StartError::Unavailable),
            INTERRUPTED => AnswerEnd::Failed(Some(Outcome::Interrupted)),
            status => panic!("the status is {status}"),
        })
    }
}

/// Answers a call: with its events and options, or with an error.
async fn handle(
    making: Making,
    mut rng: Rng,
) -> Response<EventBody<impl Stream<Item = Result<Event, &'static str>>>> {
    if rng.bool() {
        sleep(Duration::from_millis(rng.u64(..300))).await;
    }
    let is_void = rng.u8(..8) == 0;
    making.change(|call| (call.is_void, call.has_options) = (is_void, !is_void));
    if is_void {
        making.end(true);
    }
    let mut response = tower_sse::response(making.answer(rng));
    if is_void {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    } else {
        let options = StreamOptions::new().terminator(TERMINATOR).retry(RETRY);
        response.extensions_mut().insert(options);
    }
    response
}

/// Returns a run. While the store is out of reach, `Runs::get` finds no run, and only the status
/// from `Runs::answer` says why.
async fn get(runs: &Runs, key: &RunKey, request: &Parts) -> Result<Option<Run>, StartError> {
    if let Some(run) = runs.get(key).await {
        return Ok(Some(run));
    }
    match runs.answer(key, request).await {
        // A refusal, or the run's answer if the store was out of reach only during `get`.
        Some(answer) if answer.status() != StatusCode::NOT_FOUND => Err(StartError::Unavailable),
        _ => Ok(None),
    }
}

/// Reads a body, as a client that knows the terminator. Returns `clean` if the body ends cleanly
/// without the terminator.
async fn read<B>(world: &World, answer: usize, body: B, habit: Habit, clean: AnswerEnd) -> AnswerEnd
where
    B: Body<Data = bytes::Bytes, Error: Into<BoxError>>,
{
    // The largest events of a crowd's runs have six million bytes.
    let decoder = Decoder::new().max_event_size(8 << 20);
    let mut messages = std::pin::pin!(MessageStream::with_decoder(body, decoder));
    let mut is_first = true;
    loop {
        let message = match messages.next().await {
            Some(Ok(message)) if message.data == TERMINATOR => return AnswerEnd::Whole,
            Some(Ok(message)) => message,
            Some(Err(error)) => return AnswerEnd::Failed(outcome(&error)),
            None => return clean,
        };
        let received = Received::of(&message);
        let Received { call, sequence, .. } = received;
        let has_options = world.records().calls[call].has_options;
        if is_first && has_options && message.retry != Some(RETRY) {
            let what = format!("call {call} lacks its options from event {sequence} on");
            world.fault(format!("a connection to {what}"));
        }
        is_first = false;
        world.receive(answer, received);
        if let Habit::IdleUntil(_, time) = habit {
            let wait = time.saturating_sub(world.network.elapsed());
            sleep(Duration::from_millis(wait)).await;
        }
    }
}

fn outcome(error: &BoxError) -> Option<Outcome> {
    let first: &(dyn std::error::Error + 'static) = &**error;
    let mut causes = std::iter::successors(Some(first), |error| error.source());
    let run = causes.find_map(|error| error.downcast_ref::<RunError>());
    run.expect("a run that has failed").outcome()
}

/// Returns the head of a request. Its last event id is `last`, or it has none.
fn request(last: Option<&LastEventId>) -> Parts {
    let mut request = Request::post("/").body(()).unwrap();
    if let Some(last) = last {
        request.extensions_mut().insert(last.clone());
    }
    request.into_parts().0
}
