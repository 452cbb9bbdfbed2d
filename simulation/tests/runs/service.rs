use crate::world::{Life, key};
use crate::{calls::Making, gate::Gate, *};

/// The event after the last one of a whole answer, as OpenAI's protocol has it.
const TERMINATOR: &str = "[DONE]";
/// The reconnection time with which each connection begins.
const RETRY: Duration = Duration::from_millis(4_321);

/// The status for a client of a run that was interrupted before its first event.
const INTERRUPTED: StatusCode = StatusCode::GONE;

/// A request to a process whose handler is behind the layers of the crate, and sets options.
pub(crate) struct Asking {
    pub(crate) world: World,
    pub(crate) runs: Runs,
    /// The number of the answer, and of its key.
    pub(crate) answer: usize,
    pub(crate) key: usize,
    pub(crate) last: Option<LastEventId>,
    /// The process' life, and the time of the request.
    pub(crate) life: usize,
    pub(crate) asked: u64,
    pub(crate) rng: Rng,
}

impl Asking {
    /// Starts a run, or attaches to it.
    pub(crate) async fn start(self) -> Attempt {
        let Self { world, key: number, life, asked, rng, .. } = &self;
        let (calls, number, life, asked) = (world.calls.clone(), *number, *life, *asked);
        let rng = rng.clone();
        let handler = service_fn(move |_: Request<()>| {
            let mut rng = rng.clone();
            let making = calls.begin(Plan::choose(&mut rng), number, life, asked);
            async move { Ok::<_, Infallible>(handle(making, rng).await) }
        });
        let layer = self.runs.layer(move |_: &Request<()>| Some(Ok(key(number))));
        self.ask(layer.layer(handler)).await
    }

    /// Attaches to a run, and starts none.
    pub(crate) async fn get(self) -> Attempt {
        let (runs, number, last) = (self.runs.clone(), self.key, self.last.clone());
        let handler = service_fn(move |_: Request<()>| {
            let (runs, parts) = (runs.clone(), request(last.as_ref()));
            async move {
                let answer = runs.answer(&key(number), &parts).await;
                let mut answer = answer.unwrap_or_else(|| StartError::NotFound.answer(&parts));
                // It could ask for ever: another request has to start the call again.
                if answer.status() == StatusCode::SERVICE_UNAVAILABLE
                    && let Some(run) = runs.get(&key(number)).await
                    && run.outcome() == Some(Outcome::Interrupted)
                {
                    *answer.status_mut() = INTERRUPTED;
                }
                Ok::<_, Infallible>(answer)
            }
        });
        self.ask(handler).await
    }

    async fn ask<S, B>(self, service: S) -> Attempt
    where
        S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
        B: Body<Data = bytes::Bytes, Error: Into<BoxError>>,
    {
        let Self { world, runs, answer, last, .. } = self;
        let mut request = Request::post("/").body(()).unwrap();
        if let Some(last) = &last {
            let last = HeaderValue::from_str(last.as_str()).unwrap();
            request.headers_mut().insert(LastEventId::HEADER, last);
        }
        let answering = SseLayer::new().layer(service).oneshot(request);
        let Ok(response) = answering.await;
        // Another clone would keep the runs of a process that has ended.
        drop(runs);
        match response.status() {
            StatusCode::OK => read(&world, answer, response.into_body()).await,
            StatusCode::NOT_FOUND | StatusCode::INTERNAL_SERVER_ERROR => {
                Attempt::Ended(AnswerEnd::NotFound)
            }
            StatusCode::SERVICE_UNAVAILABLE => Attempt::Refused(StartError::Unavailable),
            INTERRUPTED => Attempt::Ended(AnswerEnd::Failed(Some(Outcome::Interrupted))),
            status => panic!("the status is {status}"),
        }
    }
}

/// Answers a call: with its events and options, or with an error.
async fn handle(
    making: Making,
    mut rng: Rng,
) -> Response<EventBody<impl futures_util::Stream<Item = Result<tower_sse::Event, &'static str>>>> {
    if rng.bool() {
        sleep(Duration::from_millis(rng.u64(..300))).await;
    }
    let is_void = rng.u8(..8) == 0;
    making.change(|call| (call.is_void, call.has_options) = (is_void, !is_void));
    if is_void {
        making.finish();
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

/// Reads a body, as a client that knows the terminator.
async fn read<B>(world: &World, answer: usize, body: B) -> Attempt
where
    B: Body<Data = bytes::Bytes, Error: Into<BoxError>>,
{
    let mut messages = std::pin::pin!(MessageStream::new(body));
    let mut is_first = true;
    loop {
        let message = match messages.next().await {
            Some(Ok(message)) if message.data == TERMINATOR => {
                return Attempt::Ended(AnswerEnd::Whole);
            }
            Some(Ok(message)) => message,
            Some(Err(error)) => return Attempt::Ended(AnswerEnd::Failed(outcome(&error))),
            None => return Attempt::Ended(AnswerEnd::Unterminated),
        };
        let received = Received::of(&message);
        let has_options = world.calls.list()[received.call].has_options;
        if is_first && has_options && message.retry != Some(RETRY) {
            let Received { call, sequence, .. } = received;
            let fault =
                format!("a connection to call {call} lacks its options from event {sequence} on");
            world.records().faults.push(fault);
        }
        is_first = false;
        world.receive(answer, received);
    }
}

/// Returns the outcome of a run whose body has failed.
fn outcome(error: &BoxError) -> Option<Outcome> {
    let mut error: Option<&(dyn std::error::Error + 'static)> = Some(&**error);
    while let Some(current) = error {
        if let Some(run) = current.downcast_ref::<RunError>() {
            return run.outcome();
        }
        error = current.source();
    }
    panic!("no run has failed");
}

/// A process that shares runs.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) number: usize,
    /// The number of this life: a process that starts again has another one.
    pub(crate) life: usize,
    pub(crate) gate: Gate,
    runs: Arc<Mutex<Option<Runs>>>,
    health: Arc<Mutex<Option<Health>>>,
}

/// The settings of all processes of one simulation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) lease: Duration,
    pub(crate) retain_for: Duration,
    pub(crate) retain_bytes: usize,
    pub(crate) max_memory: usize,
    pub(crate) max_memory_per_owner: Option<usize>,
    pub(crate) is_layered: bool,
}

impl Settings {
    pub(crate) fn choose(rng: &mut Rng) -> Self {
        let retain_for = if rng.u8(..4) > 0 { 600_000 } else { [0, 300, 5_000][rng.usize(..3)] };
        let max_memory = if rng.u8(..6) > 0 { 2 << 30 } else { rng.usize(20_000..100_000) };
        // So that several runs fit into the memory of each.
        let retain_bytes = if max_memory < 2 << 30 { 4_000 } else { 2 << 20 };
        Self {
            lease: Duration::from_secs([2, 4, 8][rng.usize(..3)]),
            retain_for: Duration::from_millis(retain_for),
            retain_bytes,
            max_memory,
            max_memory_per_owner: None,
            is_layered: rng.bool(),
        }
    }

    /// Chooses the settings for many or large runs, without narrow limits.
    pub(crate) fn choose_for_crowd(rng: &mut Rng) -> Self {
        Self {
            lease: Duration::from_secs([2, 4][rng.usize(..2)]),
            retain_for: Duration::from_secs(600),
            retain_bytes: 8 << 20,
            max_memory: 4 << 30,
            max_memory_per_owner: None,
            is_layered: false,
        }
    }

    /// Returns the time between two checks of the runs of other processes, in milliseconds.
    pub(crate) fn check(&self) -> u64 {
        u64::try_from(self.lease.as_millis()).unwrap() / 4
    }

    /// Returns whether every run that has completed is kept until the end of the simulation.
    pub(crate) fn keep_all(&self) -> bool {
        self.retain_for >= Duration::from_secs(600) && self.max_memory >= 2 << 30
    }
}

impl Process {
    /// Starts a process, which connects its runs until it succeeds.
    pub(crate) fn start(world: &World, number: usize, settings: Settings, clock: i64) -> Self {
        let mut records = world.records();
        let gate = Gate::new(clock);
        let life = records.lives.len();
        records.lives.push(Life { is_disturbed: false });
        drop(records);
        world.network.log(|| format!("process {number}: life {life}"));
        let process = Self { number, life, gate, runs: Arc::default(), health: Arc::default() };
        let connect = process.clone().connect(world.clone(), settings);
        tokio::spawn(process.gate.run(connect));
        process
    }

    /// Returns the runs, once they are connected.
    pub(crate) fn runs(&self) -> Option<Runs> {
        self.runs.lock().unwrap().clone()
    }

    /// Returns how often its connections to Redis were replaced, and why.
    pub(crate) fn reconnections(&self) -> Option<(u64, String)> {
        let health = self.health.lock().unwrap();
        let health = health.as_ref().filter(|health| health.reconnections() > 0)?;
        Some((health.reconnections(), health.last_error().unwrap_or_default()))
    }

    /// Ends the process at once.
    pub(crate) fn kill(&self) {
        self.gate.kill();
        // Otherwise this clone would keep them.
        self.runs.lock().unwrap().take();
    }

    async fn connect(self, world: World, settings: Settings) {
        loop {
            let number = self.number;
            // Each process knows another node of a cluster.
            let (url, prefix) = if world.network.is_cluster() {
                (format!("redis://process-{number}-node-{number}/"), "{app}")
            } else {
                (format!("redis://process-{number}/"), "app")
            };
            let redis = Redis::open(&url).unwrap().runs(prefix).lease(settings.lease);
            *self.health.lock().unwrap() = Some(redis.health());
            let (reporting, gate) = (world.clone(), self.gate.clone());
            let mut builder = Runs::builder();
            if let Some(bytes) = settings.max_memory_per_owner {
                builder = builder.max_memory_per_owner(bytes);
            }
            let builder = builder
                .retention(Retention::new().bytes(settings.retain_bytes).age(settings.retain_for))
                .max_memory(settings.max_memory)
                .max_running_per_owner(1_000)
                .on_end(move |end: &RunEnd| {
                    // What is dropped with a killed process does nothing.
                    if gate.is_killed() {
                        return;
                    }
                    reporting.network.log(|| format!("report: {} {}", end.id(), end.outcome));
                    let report = Report { epoch: end.id(), outcome: end.outcome };
                    reporting.records().reports.push(report);
                });
            match builder.connect(redis).await {
                Ok(runs) => {
                    world.network.log(|| format!("process {}: connected", self.number));
                    *self.runs.lock().unwrap() = Some(runs);
                    return;
                }
                Err(error) => {
                    world.network.log(|| format!("process {}: {error:?}", self.number));
                    sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}
