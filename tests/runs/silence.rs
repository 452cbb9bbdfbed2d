//! Clients that wait while the model is silent, when the user stops the answer or the server shuts
//! down: with and without an early head.

use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Router, body::Body as AxumBody, extract::State};
use tower_sse::early_head::EarlyHeadLayer;

use crate::support::{Reports, case};
use crate::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Start {
    InTheHandler,
    ByTheLayer,
}

const STARTS: [Start; 2] = [Start::InTheHandler, Start::ByTheLayer];

/// The time after which a drain cuts the answers.
const AFTER: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Model {
    runs: Runs,
    /// The model begins an answer once it has a permit.
    permits: Arc<Semaphore>,
    options: StreamOptions,
    is_endless: bool,
}

fn key() -> RunKey {
    RunKey::shared("ask").unwrap()
}

impl Model {
    fn new() -> Self {
        Self {
            runs: Runs::new(),
            permits: Arc::new(Semaphore::new(0)),
            options: StreamOptions::new().drain(Drain::after(AFTER)),
            is_endless: false,
        }
    }

    async fn answer(self) -> impl Stream<Item = Event> + Send + 'static {
        self.permits.acquire().await.unwrap().forget();
        let rest = stream::pending().take(usize::from(self.is_endless));
        stream::iter(["one", "two"].map(Event::from)).chain(rest)
    }
}

async fn start(State(model): State<Model>, parts: Parts) -> Response {
    let call = model.clone();
    let call = async move || Ok::<_, Infallible>(call.answer().await);
    match model.runs.start_with(&key(), &parts, call).await {
        Ok(Ok(run)) => (model.options, run.answer(&parts).await).into_response(),
        Err(error) => error.answer(&parts).into_response(),
    }
}

async fn resume(State(model): State<Model>, parts: Parts) -> Response {
    match model.runs.answer(&key(), &parts).await {
        Some(answer) => (model.options, answer).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

struct Silence {
    model: Model,
    shutdown: CancellationToken,
    reports: Reports,
    app: Router,
}

impl Silence {
    fn new(model: Model, start_by: Start, head_after: Option<Duration>) -> Self {
        let (shutdown, reports) = (CancellationToken::new(), Reports::default());
        let asking = match start_by {
            Start::InTheHandler => any(start),
            Start::ByTheLayer => any(async |State(model): State<Model>| {
                (model.options.clone(), tower_sse::response(model.answer().await))
            })
            .layer(model.runs.layer(|_: &Request<AxumBody>| Some(Ok(key())))),
        };
        let layer = reports.observe(SseLayer::new().shutdown(shutdown.clone()));
        let app = Router::new()
            .route("/ask", asking)
            .route("/resume", any(resume))
            .route("/silent", any(async || std::future::pending::<()>().await))
            .with_state(model.clone());
        let early =
            |after| EarlyHeadLayer::new(after).when(|_| true).late_event(|_| Some("late".into()));
        let app = match head_after {
            Some(after) => app.layer(early(after)),
            None => app,
        };
        let app = app.layer(layer.terminator("[DONE]").without_heartbeat());
        Self { model, shutdown, reports, app }
    }

    /// Sends a request, and returns what the client receives: the data of the events, and whether
    /// the body ended cleanly.
    fn send(&self, client: Requester, path: &str) -> JoinHandle<(Vec<String>, bool)> {
        let request = client.request(path).map(|()| AxumBody::empty());
        let app = self.app.clone();
        tokio::spawn(async move {
            let response = app.oneshot(request).await.unwrap();
            let mut frames = response.into_body().into_data_stream();
            let (mut text, mut is_clean) = (String::new(), true);
            while let Some(frame) = frames.next().await {
                match frame {
                    Ok(frame) => text += std::str::from_utf8(&frame).unwrap(),
                    Err(_) => is_clean = false,
                }
            }
            let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
            (lines.map(str::to_owned).collect(), is_clean)
        })
    }

    async fn waiting(&self) -> Vec<JoinHandle<(Vec<String>, bool)>> {
        let mut clients = vec![self.send(Requester::Post, "/ask")];
        until(|| self.model.runs.stats().attached == 1).await;
        for client in [Requester::EventSource, Requester::Fetch, Requester::Post] {
            for path in ["/ask", "/resume"] {
                clients.push(self.send(client, path));
            }
        }
        until(|| self.model.runs.stats().attached == clients.len()).await;
        clients
    }
}

async fn received<T>(clients: Vec<JoinHandle<T>>) -> Vec<T> {
    let clients = clients.into_iter().map(|client| async { soon(client).await.unwrap() });
    join_all(clients).await
}

fn whole() -> (Vec<String>, bool) {
    (["one", "two", "[DONE]"].map(str::to_owned).to_vec(), true)
}

async fn stop_in_the_silence(silence: Silence) {
    let Silence { model, reports, .. } = &silence;
    let clients = silence.waiting().await;
    until(|| reports.opened() == clients.len()).await;
    assert!(model.runs.cancel(&key(), None).await);
    for received in received(clients).await {
        assert_eq!(received, (vec![], true));
    }
    assert_eq!(reports.take(), [CloseReason::Cancelled; 7]);
    let stats = model.runs.stats();
    assert_eq!((stats.started, ended_as(&stats, Outcome::Cancelled)), (1, 1), "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn stop_in_the_silence_ends_each_client_as_cancelled() {
    for start in STARTS {
        stop_in_the_silence(Silence::new(Model::new(), start, Some(Duration::ZERO))).await;
    }
}

/// The page reconnects after the clean end, and must not start the run again.
#[tokio::test(start_paused = true)]
async fn page_that_comes_back_after_the_stop_gets_204() {
    for start in STARTS {
        let silence = Silence::new(Model::new(), start, Some(Duration::ZERO));
        let request = || {
            let request: Request<()> = Requester::EventSource.request("/ask");
            request.map(|()| AxumBody::empty())
        };
        let mut body = silence.app.clone().oneshot(request()).await.unwrap().into_body();
        assert!(matches!(poll_frame(&mut body), Polled::Data(_)));
        assert!(silence.model.runs.cancel(&key(), None).await);
        let text = body.collect().await.unwrap().to_bytes();
        let text = std::str::from_utf8(&text).unwrap();
        let id = text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
        let mut request = request();
        request.headers_mut().insert("last-event-id", id.parse().unwrap());
        assert_eq!(silence.app.oneshot(request).await.unwrap().status(), 204);
    }
}

async fn shutdown_in_the_silence(silence: Silence) {
    let Silence { model, reports, shutdown, .. } = &silence;
    let clients = silence.waiting().await;
    let unrelated = silence.send(Requester::EventSource, "/silent");
    settle().await;
    shutdown.cancel();
    let runs = model.runs.clone();
    let drain = tokio::spawn(async move { runs.drain(PATIENCE).await });
    let later = silence.send(Requester::EventSource, "/resume");
    if reports.opened() > 0 {
        assert_eq!(soon(unrelated).await.unwrap(), (vec![], true), "it waits for no run");
    }
    until(|| model.runs.stats().attached > clients.len() || later.is_finished()).await;
    model.permits.add_permits(1);
    for (client, received) in received(clients).await.into_iter().enumerate() {
        assert_eq!(received, whole(), "client {client}");
    }
    assert_eq!(soon(later).await.unwrap(), (vec![], true), "it came after the shutdown");
    soon(drain).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn shutdown_in_the_silence_lets_each_client_have_its_answer() {
    for start in STARTS {
        for head_after in [None, Some(Duration::ZERO), Some(SECOND)] {
            let _case = case(format!("{start:?}, {head_after:?}"));
            shutdown_in_the_silence(Silence::new(Model::new(), start, head_after)).await;
        }
    }
}

/// The cut comes when the drain is over, whether the shutdown or the answer began first.
#[tokio::test(start_paused = true)]
async fn answer_that_outlasts_its_drain_is_cut() {
    for head_after in [None, Some(Duration::ZERO)] {
        for is_answered_first in [false, true] {
            let model = Model { is_endless: true, ..Model::new() };
            let silence = Silence::new(model, Start::InTheHandler, head_after);
            let client = silence.send(Requester::EventSource, "/ask");
            settle().await;
            if is_answered_first {
                silence.model.permits.add_permits(1);
                settle().await;
            }
            silence.shutdown.cancel();
            silence.model.permits.add_permits(1);
            let start = Instant::now();
            assert_eq!(client.await.unwrap(), (vec!["one".into(), "two".into()], true));
            assert_eq!(start.elapsed().as_secs(), AFTER.as_secs());
            assert_eq!(silence.reports.take(), [CloseReason::Drained]);
        }
    }
}

/// The answer ends like the layer's other streams.
#[tokio::test(start_paused = true)]
async fn answer_without_a_drain_of_its_own_is_cut_at_once() {
    for head_after in [None, Some(Duration::ZERO)] {
        let model = Model { options: StreamOptions::new(), ..Model::new() };
        let silence = Silence::new(model, Start::InTheHandler, head_after);
        let client = silence.send(Requester::EventSource, "/ask");
        settle().await;
        silence.shutdown.cancel();
        silence.model.permits.add_permits(1);
        assert_eq!(client.await.unwrap(), (vec![], true));
    }
}

#[tokio::test(start_paused = true)]
async fn run_that_is_interrupted_in_the_silence_holds_no_client() {
    for start in STARTS {
        let silence = Silence::new(Model::new(), start, Some(Duration::ZERO));
        let clients = silence.waiting().await;
        let begun = Instant::now();
        silence.shutdown.cancel();
        silence.model.runs.drain(AFTER).await;
        for (events, _) in received(clients).await {
            assert!(events.iter().all(|event| event != "[DONE]"), "{events:?}");
        }
        assert!(begun.elapsed() <= AFTER + SECOND, "{:?}", begun.elapsed());
    }
}
