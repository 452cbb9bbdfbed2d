//! What a proxy in front of the server does with the requests for `/events`.

use crate::*;

#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Proxy>>);

#[derive(Default)]
struct Proxy {
    /// What happens to the requests that come from now on.
    mode: Mode,
    asked: Vec<Asked>,
}

#[derive(Clone, Default, PartialEq)]
enum Mode {
    #[default]
    Pass,
    /// Answers with a status, and `Retry-After` in seconds.
    Status(StatusCode, Option<u64>),
    /// Answers every second request with `502`.
    Flap,
    /// Answers with a page that asks for a log-in.
    LogIn,
    /// Holds each answer until its end, with its head.
    Hold,
    /// Sends the head, and the body in blocks of 4 KiB.
    Blocks,
}

/// A request for `/events`.
#[derive(Clone, Serialize)]
pub(crate) struct Asked {
    #[serde(skip)]
    pub(crate) at: Instant,
    pub(crate) method: String,
    pub(crate) query: String,
    /// The last event id in the headers.
    pub(crate) last: String,
    pub(crate) authorization: String,
    pub(crate) status: u16,
}

impl Faults {
    pub(crate) fn around(&self, app: Router) -> Router {
        app.layer(from_fn_with_state(self.clone(), Self::answer))
    }

    /// Sets what happens to later requests: `pass`, `hold`, `blocks`, `log-in`, `flap`, or a
    /// status, perhaps with the seconds of a `Retry-After`, such as `429 2`.
    pub(crate) fn set(&self, mode: &str) {
        let (word, after) = mode.split_once(' ').unwrap_or((mode, ""));
        self.0.lock().unwrap().mode = match word {
            "pass" => Mode::Pass,
            "hold" => Mode::Hold,
            "blocks" => Mode::Blocks,
            "log-in" => Mode::LogIn,
            "flap" => Mode::Flap,
            status => Mode::Status(status.parse().unwrap(), after.parse().ok()),
        };
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.0.lock().unwrap().asked.clone()
    }

    async fn answer(State(it): State<Self>, request: Request, next: Next) -> Response {
        if request.uri().path() != "/events" {
            return next.run(request).await;
        }
        let asked = Asked::of(&request);
        let (mode, index) = {
            let mut it = it.0.lock().unwrap();
            it.asked.push(asked);
            (it.mode.clone(), it.asked.len() - 1)
        };
        let answer = match mode {
            Mode::Status(status, after) => {
                let after = after.map(|after| [("retry-after", after.to_string())]);
                (status, after.map(|after| after.into_response()).unwrap_or_default())
                    .into_response()
            }
            Mode::LogIn => axum::response::Html("<h1>Log in").into_response(),
            Mode::Flap if index % 2 == 0 => StatusCode::BAD_GATEWAY.into_response(),
            Mode::Pass | Mode::Flap => next.run(request).await,
            Mode::Hold => {
                let (head, body) = next.run(request).await.into_parts();
                Response::from_parts(head, Body::from(held(body).await))
            }
            Mode::Blocks => {
                let (head, body) = next.run(request).await.into_parts();
                Response::from_parts(head, blocks(body))
            }
        };
        it.0.lock().unwrap().asked[index].status = answer.status().as_u16();
        answer
    }
}

impl Asked {
    fn of(request: &Request) -> Self {
        let header = |name| {
            let value = request.headers().get(name).and_then(|it| it.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        Self {
            at: Instant::now(),
            method: request.method().to_string(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            last: header("last-event-id"),
            authorization: header("authorization"),
            status: 0,
        }
    }
}

async fn held(mut body: Body) -> Vec<u8> {
    let mut held = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        held.extend(frame.into_data().unwrap_or_default());
    }
    held
}

fn blocks(mut body: Body) -> Body {
    Body::from_stream(stream! {
        let mut held = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            held.extend(frame.into_data().unwrap_or_default());
            while held.len() >= 4096 {
                let rest = held.split_off(4096);
                yield Ok::<_, Infallible>(std::mem::replace(&mut held, rest));
            }
        }
        yield Ok(held);
    })
}
