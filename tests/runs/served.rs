//! Runs over sockets, with axum.

use axum::response::{IntoResponse, Response, Sse, sse};
use axum::routing::{get, post};
use axum::{Router, extract::State};

use crate::*;

fn key(request: &Request<axum::body::Body>) -> Option<Result<RunKey, InvalidKey>> {
    Some(RunKey::new("ann", request.uri().path()))
}

/// Each word of an answer takes a permit, which the test adds.
type Permits = Arc<Semaphore>;

fn fifty(permits: Permits) -> impl Stream<Item = String> + Send + 'static {
    stream::iter(0..50).then(move |n| {
        let permits = Arc::clone(&permits);
        async move {
            permits.acquire().await.unwrap().forget();
            n.to_string()
        }
    })
}

async fn words(State(permits): State<Permits>) -> impl IntoResponse {
    let words = fifty(permits).map(|word| Ok::<_, Infallible>(sse::Event::default().data(word)));
    Sse::new(words).keep_alive(sse::KeepAlive::new())
}

async fn send(
    address: SocketAddr,
    request: http::request::Builder,
) -> http::Response<hyper::body::Incoming> {
    let mut connection = Protocol::Http1.connect(address).await;
    connection.send(request.body(Full::default()).unwrap()).await
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn client_that_is_cut_off_again_and_again_gets_every_word_once() {
    let (runs, permits) = (Runs::new(), Permits::new(Semaphore::new(3)));
    let app = Router::new()
        .route("/words", post(words).get(words))
        .layer(runs.layer(key))
        .layer(SseLayer::new().terminator("[DONE]"))
        .with_state(permits.clone());
    let address = serve_axum(app).await;
    let mut reader = EventReader::new(send(address, Request::post("/words")).await);
    let (mut read, mut connections) = (Vec::new(), 1);
    while let Some(message) = reader.next().await {
        read.push(message.data);
        assert!(read.len() <= 51, "{read:?}");
        if read.len() % 7 == 3 {
            drop(reader);
            until(|| runs.stats().attached == 0).await;
            permits.add_permits(7);
            connections += 1;
            let request = Request::get("/words").header("last-event-id", &*message.last_event_id);
            reader = EventReader::new(send(address, request).await);
        }
    }
    assert_eq!(read.pop().as_deref(), Some("[DONE]"));
    assert_eq!(read, numbers(0..50));
    assert_eq!((connections, runs.stats().started), (8, 1));
    let events = EventReader::new(send(address, Request::post("/words")).await).rest().await;
    assert_eq!(events.len(), 51, "a completed run is replayed");
    assert_eq!(runs.stats().started, 1);
}

async fn ask(State((runs, permits)): State<(Runs, Permits)>, parts: Parts) -> Response {
    let words = || fifty(permits).map(Event::from);
    match runs.start(&RunKey::shared("ask").unwrap(), &parts, words).await {
        Ok(run) => {
            // A run is short enough to complete, so its clients need not be told to come back.
            let options = StreamOptions::new().drain(Drain::after(Duration::from_secs(5)));
            (options, run.answer(&parts).await).into_response()
        }
        Err(error) => error.answer(&parts).into_response(),
    }
}

async fn resume(State((runs, _)): State<(Runs, Permits)>, parts: Parts) -> Response {
    match runs.answer(&RunKey::shared("ask").unwrap(), &parts).await {
        Some(answer) => answer.into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn stop(State((runs, _)): State<(Runs, Permits)>, last: Option<LastEventId>) -> StatusCode {
    match runs.cancel(&RunKey::shared("ask").unwrap(), last).await {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::NOT_FOUND,
    }
}

fn explicit(runs: &Runs, permits: &Permits, layer: SseLayer) -> Router {
    Router::new()
        .route("/ask", post(ask).get(ask))
        .route("/resume", get(resume))
        .route("/ask", axum::routing::delete(stop))
        .route("/news", get(async || tower_sse::response(stream::pending::<Event>())))
        .layer(layer.heartbeat(Heartbeat::every(Duration::from_secs(5))))
        .with_state((runs.clone(), permits.clone()))
}

#[tokio::test]
async fn handlers_are_one_line_each() {
    let (runs, permits) = (Runs::new(), Permits::new(Semaphore::new(2)));
    let address = serve_axum(explicit(&runs, &permits, SseLayer::new())).await;
    assert_eq!(send(address, Request::get("/resume")).await.status(), 204);
    assert_eq!(send(address, Request::delete("/ask")).await.status(), 404);
    let mut reader = EventReader::new(send(address, Request::post("/ask")).await);
    let first = reader.next().await.unwrap();
    assert_eq!(first.data, "0");
    let request = Request::get("/resume").header("last-event-id", &*first.last_event_id);
    let mut resumed = EventReader::new(send(address, request).await);
    assert_eq!(resumed.next().await.unwrap().data, "1");
    let repeated = Request::post("/ask").header("last-event-id", &*first.last_event_id);
    let mut repeated = EventReader::new(send(address, repeated).await);
    assert_eq!(repeated.next().await.unwrap().data, "1");
    drop(repeated);
    let stale = Request::delete("/ask").header("last-event-id", "4fzo8gk0o2yl-1");
    assert_eq!(send(address, stale).await.status(), 404);
    let own = Request::delete("/ask").header("last-event-id", &*first.last_event_id);
    assert_eq!(send(address, own).await.status(), 204);
    // Both streams end cleanly, without the words that have no permit.
    assert_eq!(reader.rest().await.len(), 1);
    assert_eq!(resumed.rest().await.len(), 0);
    assert_eq!(ended_as(&runs.stats(), Outcome::Cancelled), 1);
}

/// The recipe of [`Runs::drain`]: every client gets the whole answer, or learns that the answer is
/// cut.
#[tokio::test]
async fn graceful_shutdown_completes_the_answers_of_all_clients() {
    for grace in [PATIENCE, Duration::from_millis(50)] {
        let (runs, permits) = (Runs::new(), Permits::new(Semaphore::new(0)));
        let shutdown = CancellationToken::new();
        let layer = SseLayer::new().shutdown(shutdown.clone()).terminator("[DONE]");
        let (listener, address) = listen().await;
        let server = axum::serve(listener, explicit(&runs, &permits, layer))
            .with_graceful_shutdown(shutdown.clone().cancelled_owned());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let server = tokio::spawn({
            let runs = runs.clone();
            async move {
                let drain = async {
                    _ = stopped.await;
                    shutdown.cancel();
                    runs.drain(grace).await;
                };
                tokio::join!(server.into_future(), drain).0
            }
        });
        let event_source = |path| {
            Request::get(path)
                .header("accept", "text/event-stream")
                .header("cache-control", "no-cache")
        };
        let mut clients = [
            EventReader::new(send(address, Request::post("/ask")).await),
            EventReader::new(send(address, event_source("/ask")).await),
        ];
        let news = EventReader::new(send(address, event_source("/news")).await);
        permits.add_permits(1);
        for client in &mut clients {
            assert_eq!(client.next().await.unwrap().data, "0");
        }
        stop.send(()).unwrap();
        // The server has stopped listening, and the drain waits.
        until(|| std::net::TcpStream::connect(address).is_err()).await;
        // Only the answers of runs may go on. The stream of news ends at once.
        assert!(news.rest().await.is_empty());
        if grace == PATIENCE {
            assert_eq!(runs.stats().running, 1);
            permits.add_permits(49);
            for client in clients {
                let words: Vec<_> = client.rest().await.into_iter().map(|word| word.data).collect();
                assert_eq!(words, [numbers(1..50), vec!["[DONE]".into()]].concat());
            }
        } else {
            // Both clients learn that the answer is cut: the caller's body fails, and the page
            // receives an event.
            let [caller, page] = clients;
            assert!(soon(caller.into_body().collect()).await.is_err());
            assert_eq!(page.rest().await.last().unwrap().event, "interrupted");
            assert_eq!(ended_as(&runs.stats(), Outcome::Interrupted), 1);
        }
        soon(server).await.unwrap().unwrap();
    }
}
