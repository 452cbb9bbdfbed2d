//! Limits of open streams for each subject, over sockets, with clients and handlers of every kind.
//!
//! `TOWER_SSE_RACES` sets how many requests each test sends.

use axum::{Json, http::StatusCode, response::Response};

use crate::*;

const USER_LIMIT: usize = 2;
const TENANT_LIMIT: usize = 7;

/// The streams that are open, by the sources that the bodies poll. A source is dropped before its
/// place is free.
#[derive(Clone, Default)]
struct Ledger {
    open: Arc<Mutex<HashMap<String, usize>>>,
    opened: Arc<AtomicUsize>,
    excesses: Arc<Mutex<Vec<String>>>,
}

struct Open {
    ledger: Ledger,
    subjects: [(String, usize); 2],
    is_open: bool,
}

impl Stream for Open {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.is_open {
            return Poll::Pending;
        }
        self.is_open = true;
        self.ledger.opened.fetch_add(1, SeqCst);
        let mut open = self.ledger.open.lock().unwrap();
        for (subject, limit) in &self.subjects {
            let count = open.entry(subject.clone()).or_default();
            *count += 1;
            if *count > *limit {
                self.ledger.excesses.lock().unwrap().push(format!("{count} of {subject}"));
            }
        }
        Poll::Ready(Some(Event::from("open")))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.is_open {
            let mut open = self.ledger.open.lock().unwrap();
            for (subject, _) in &self.subjects {
                *open.get_mut(subject).expect("it is open") -= 1;
            }
        }
    }
}

/// Answers as the path says. Some handlers reserve a place first.
async fn answer(
    State(ledger): State<Ledger>,
    Path((how, tenant, user)): Path<(String, usize, usize)>,
    subjects: Subjects,
    parts: http::request::Parts,
) -> Response {
    let (user, tenant) = (format!("user:{tenant}:{user}"), format!("tenant:{tenant}"));
    if how.starts_with("reserved") {
        for subject in [&user, &tenant] {
            if subjects.try_add(subject.as_str()).is_err() {
                return Refusal::too_many_requests().answer(&parts).into_response();
            }
        }
    } else {
        subjects.add(user.as_str());
        subjects.add(tenant.as_str());
    }
    match how.trim_start_matches("reserved-") {
        "stream" => {
            let subjects = [(user, USER_LIMIT), (tenant, TENANT_LIMIT)];
            tower_sse::response(Open { ledger, subjects, is_open: false }).into_response()
        }
        "json" => Json(1).into_response(),
        "error" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        "panic" => panic!("in the handler"),
        _ => std::future::pending().await,
    }
}

struct Server {
    address: std::net::SocketAddr,
    streams: Streams,
    ledger: Ledger,
}

impl Server {
    async fn start() -> Self {
        let builder = Streams::builder().limit("user:", USER_LIMIT).limit("tenant:", TENANT_LIMIT);
        let (streams, ledger) = (builder.build(), Ledger::default());
        let app = Router::new()
            .route("/{how}/{tenant}/{user}", get(answer))
            .layer(SseLayer::new().streams(&streams))
            .with_state(ledger.clone());
        Self { address: serve_axum(app).await, streams, ledger }
    }

    /// Asserts that no limit was exceeded, and that each place is free once the clients are gone.
    async fn assert_has_its_places_back(&self, tenants: usize) {
        let Self { address, streams, ledger } = self;
        let until_all_are_gone = async {
            while !streams.subjects().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        soon(until_all_are_gone).await;
        assert_eq!(*ledger.excesses.lock().unwrap(), [""; 0]);
        // A place of a request without a stream is free when the server drops the request.
        let mut connection = Protocol::Http2.connect(*address).await;
        for tenant in 0..tenants {
            let mut open = Vec::new();
            for (user, expected) in [0, 0, 0, 1, 1, 2, 2, 3, 3].into_iter().zip(0..) {
                let is_free = !matches!(expected, 2 | 8);
                let path = format!("/stream/{tenant}/{user}");
                let response = loop {
                    let response = connection.get(&path).await;
                    if is_free == (response.status() == StatusCode::OK) {
                        break response;
                    }
                    assert!(is_free, "more streams than the limit: {path}");
                    tokio::task::yield_now().await;
                };
                open.extend(is_free.then_some(response));
            }
            assert_eq!(open.len(), TENANT_LIMIT);
            assert_eq!(streams.count(&format!("tenant:{tenant}")), TENANT_LIMIT);
        }
        assert_eq!(*ledger.excesses.lock().unwrap(), [""; 0]);
    }
}

fn requests() -> usize {
    env::var("TOWER_SSE_RACES").map_or(1_200, |races| races.parse().expect("a number"))
}

/// Sends requests one after another, and leaves each in some way.
async fn race(
    protocol: Protocol,
    address: std::net::SocketAddr,
    requests: usize,
    mut rng: Rng,
) -> usize {
    let mut refused = 0;
    let mut held = Vec::new();
    let mut connection = protocol.connect(address).await;
    for _ in 0..requests {
        let how = match rng.u8(..40) {
            0 => "panic",
            1..=6 => "never",
            7..=12 => "json",
            13..=18 => "error",
            _ => "stream",
        };
        let reserved = if rng.bool() { "reserved-" } else { "" };
        let path = format!("/{reserved}{how}/{}/{}", rng.usize(..2), rng.usize(..4));
        if protocol == Protocol::Http1 || how == "panic" {
            connection = protocol.connect(address).await;
        }
        let request = http::Request::get(&path).body(Default::default()).unwrap();
        if matches!(how, "panic" | "never") {
            // The client leaves before the head, or there is none.
            for _ in 0..rng.usize(..20) {
                let mut sent = Box::pin(connection.try_send(request.clone()));
                if (&mut sent).now_or_never().is_some() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            connection = protocol.connect(address).await;
            continue;
        }
        let response = connection.send(request).await;
        refused += usize::from(response.status() == StatusCode::TOO_MANY_REQUESTS);
        if response.status() == StatusCode::OK && how == "stream" {
            let mut body = response.into_body();
            if rng.bool() {
                body.frame().await.expect("an event").expect("no error");
            }
            held.push(body);
        }
        while held.len() > rng.usize(1..4) {
            drop(held.swap_remove(rng.usize(..held.len())));
        }
    }
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_race_over_sockets_opens_more_streams_than_the_limits() {
    for protocol in Protocol::BOTH {
        let server = Server::start().await;
        let lanes: Vec<_> = (0..8)
            .map(|lane| {
                let rng = Rng::with_seed(lane);
                tokio::spawn(race(protocol, server.address, requests() / 8, rng))
            })
            .collect();
        let mut refused = 0;
        for lane in lanes {
            refused += lane.await.unwrap();
        }
        let opened = server.ledger.opened.load(SeqCst);
        assert!(opened > 50 && refused > 20, "{protocol:?}: {opened} opened, {refused} refused");
        server.assert_has_its_places_back(2).await;
    }
}
