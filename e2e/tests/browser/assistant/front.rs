//! A proxy in front of the processes. It adds a script to the page, so that a test can drive the
//! page in any engine without a driver.

use std::collections::HashMap;

use axum::body::{Body, to_bytes};
use axum::extract::{Json, Path, State as Shared};
use axum::routing::{get, post};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;
use tower_sse::BoxError;

use crate::*;

type Answer = axum::response::Response;

/// Evaluates the expression of each order until its value is truthy, and only then asks for the
/// next one. Does nothing in a second tab.
const SCRIPT: &str = "<script>
if (!location.search) (async () => {
  const pause = () => new Promise(resolve => setTimeout(resolve, 20));
  for (;;) {
    try {
      const { number, expression, reloads } = await (await fetch('/driver')).json();
      const look = () => { try { return (0, eval)(expression); } catch {} };
      let value;
      while (!(value = look())) await pause();
      await fetch(`/driver/${number}`, { method: 'POST', body: JSON.stringify(value),
        headers: { 'content-type': 'application/json' } });
      if (reloads) return location.reload();
    } catch { await pause(); }
  }
})();
</script>";

#[derive(Clone)]
pub(crate) struct Front {
    state: Arc<State>,
    pub(crate) address: SocketAddr,
}

struct State {
    /// The servers, any of which can get a request.
    servers: Mutex<Vec<SocketAddr>>,
    /// After this time without a byte, a response is cut.
    limit: Duration,
    orders: AtomicUsize,
    /// The number of requests for an answer whose response has begun or failed.
    heads: AtomicUsize,
    timeouts: AtomicUsize,
    /// Ends all open responses.
    end: watch::Sender<()>,
    /// For each method, the server that got the last request for an answer.
    last: Mutex<HashMap<Method, SocketAddr>>,
    order: watch::Sender<Option<Order>>,
}

struct Order {
    number: usize,
    expression: String,
    reloads: bool,
    answer: oneshot::Sender<Value>,
}

impl Front {
    pub(crate) async fn start(limit: Duration) -> Self {
        let state = Arc::new(State {
            servers: Mutex::default(),
            limit,
            orders: AtomicUsize::new(0),
            heads: AtomicUsize::new(0),
            timeouts: AtomicUsize::new(0),
            end: watch::Sender::default(),
            last: Mutex::default(),
            order: watch::Sender::default(),
        });
        let app = Router::new()
            .route("/driver", get(next_order))
            .route("/driver/{number}", post(answer_order))
            .fallback(pass)
            .with_state(Arc::clone(&state));
        Self { address: serve_axum(app).await, state }
    }

    pub(crate) fn lead_to(&self, servers: impl IntoIterator<Item = SocketAddr>) {
        *self.state.servers.lock().unwrap() = servers.into_iter().collect();
    }

    /// Ends all open responses as if they were complete, as some proxies do when a server fails.
    pub(crate) fn end_responses(&self) {
        self.state.end.send_replace(());
    }

    pub(crate) fn timeouts(&self) -> usize {
        self.state.timeouts.load(SeqCst)
    }

    pub(crate) fn heads(&self) -> usize {
        self.state.heads.load(SeqCst)
    }

    pub(crate) fn server_of(&self, method: &Method) -> SocketAddr {
        self.state.last.lock().unwrap()[method]
    }

    /// Returns the value of a JavaScript expression once it is truthy, on this page or the next
    /// one.
    pub(crate) async fn until(&self, expression: &str) -> Value {
        self.order(expression, false).await
    }

    pub(crate) async fn reload(&self) {
        self.until("window.isOld = true").await;
        self.order("true", true).await;
        self.until("!window.isOld && document.readyState === 'complete'").await;
    }

    async fn order(&self, expression: &str, reloads: bool) -> Value {
        let (answer, answered) = oneshot::channel();
        let number = self.state.orders.fetch_add(1, SeqCst) + 1;
        let order = Order { number, expression: expression.to_owned(), reloads, answer };
        self.state.order.send_replace(Some(order));
        // Long enough for the start of an engine on a busy machine.
        let answered = timeout(4 * PATIENCE, answered).await;
        answered.unwrap_or_else(|_| panic!("{expression} did not become true")).unwrap()
    }
}

/// Waits for the next order.
async fn next_order(Shared(front): Shared<Arc<State>>) -> Json<Value> {
    let mut orders = front.order.subscribe();
    let order = orders.wait_for(Option::is_some).await.unwrap();
    let Order { number, expression, reloads, .. } = order.as_ref().expect("an order");
    Json(json!({ "number": number, "expression": expression, "reloads": reloads }))
}

async fn answer_order(
    Shared(front): Shared<Arc<State>>,
    Path(number): Path<usize>,
    Json(value): Json<Value>,
) {
    let mut answered = None;
    front.order.send_if_modified(|order| {
        answered = order.take_if(|order| order.number == number);
        answered.is_some()
    });
    if let Some(order) = answered {
        _ = order.answer.send(value);
    }
}

async fn pass(Shared(front): Shared<Arc<State>>, request: Request<Body>) -> Answer {
    let (mut parts, body) = request.into_parts();
    parts.extensions.clear();
    parts.headers.remove(CONNECTION);
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let (server, io) = front.connect().await;
    let is_for_answer = parts.uri.path().starts_with("/answers/");
    if is_for_answer {
        front.last.lock().unwrap().insert(parts.method.clone(), server);
    }
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    let is_page = parts.uri.path() == "/";
    let head = sender.send_request(Request::from_parts(parts, Full::new(body)));
    let head = timeout(front.limit, head).await;
    front.heads.fetch_add(usize::from(is_for_answer), SeqCst);
    match head {
        Ok(Ok(response)) if is_page => with_script(response).await,
        Ok(Ok(response)) => front.limited(response),
        Ok(Err(_)) => StatusCode::BAD_GATEWAY.into_response(),
        Err(_) => {
            front.timeouts.fetch_add(1, SeqCst);
            StatusCode::GATEWAY_TIMEOUT.into_response()
        }
    }
}

impl State {
    /// Connects to a server that listens. Waits if there is none.
    async fn connect(&self) -> (SocketAddr, TcpStream) {
        loop {
            let mut servers = self.servers.lock().unwrap().clone();
            fastrand::shuffle(&mut servers);
            for server in servers {
                if let Ok(io) = TcpStream::connect(server).await {
                    io.set_nodelay(true).unwrap();
                    return (server, io);
                }
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Passes a response on until it ends, is idle for `limit`, or is ended by
    /// [`Front::end_responses`].
    fn limited(self: Arc<Self>, mut response: Response<Incoming>) -> Answer {
        response.headers_mut().remove(TRANSFER_ENCODING);
        response.map(|body| {
            Body::from_stream(stream! {
                let mut data = BodyExt::into_data_stream(body);
                let mut end = self.end.subscribe();
                loop {
                    let part = tokio::select! {
                        part = timeout(self.limit, data.next()) => part,
                        _ = end.changed() => break,
                    };
                    match part {
                        Ok(Some(part)) => yield part.map_err(BoxError::from),
                        Ok(None) => break,
                        Err(elapsed) => {
                            self.timeouts.fetch_add(1, SeqCst);
                            yield Err(elapsed.into());
                        }
                    }
                }
            })
        })
    }
}

async fn with_script(response: Response<Incoming>) -> Answer {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    let page = body.collect().await.unwrap().to_bytes();
    Response::from_parts(parts, Body::from([&page[..], SCRIPT.as_bytes()].concat()))
}
