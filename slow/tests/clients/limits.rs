//! What clients do at a subject's limit. `docs/guide/limits.md` has the results, except that of
//! `fetch`: the script, not its package, gives up at an error status.

use axum::middleware::{Next, from_fn};
use tower::{Layer, ServiceExt, service_fn};

use crate::*;

const PACE: Pace = Pace::new(20, 5);
/// The number of requests that are refused to a client that tries again.
const REFUSED: usize = 2;

/// A service with a limit of one stream for the user. Another stream is open and ends at the second
/// refusal.
struct Limited {
    url: String,
    requests: Arc<AtomicUsize>,
}

impl Limited {
    async fn start() -> Self {
        let streams = Streams::builder().limit("user:", 1).build();
        let other = Arc::new(Mutex::new(Some(open_stream(&streams).await)));
        let requests = Arc::<AtomicUsize>::default();
        let (places, counter) = (streams.clone(), Arc::clone(&requests));
        let limit = from_fn(move |mut request: Request, next: Next| {
            let subjects = places.subjects_of(&mut request);
            let (other, number) = (Arc::clone(&other), counter.fetch_add(1, SeqCst) + 1);
            async move {
                let has_place = subjects.add("user:1");
                if number >= REFUSED {
                    other.lock().unwrap().take();
                }
                if has_place {
                    return next.run(request).await;
                }
                let (parts, _) = request.into_parts();
                refusal().answer(&parts).into_response() as Response
            }
        });
        let service = Service::new(PACE, Duration::ZERO);
        let app = service.app(CancellationToken::new()).layer(limit);
        let address = serve_axum(app.layer(SseLayer::new().streams(&streams))).await;
        Self { url: format!("http://{address}"), requests }
    }
}

/// Opens a stream, which reaches the user's limit.
async fn open_stream(streams: &Streams) -> impl Sized + use<> {
    let mut request = http::Request::new(());
    streams.subjects_of(&mut request).add("user:1");
    let pending = service_fn(async |_: http::Request<()>| {
        Ok::<_, Infallible>(tower_sse::response(stream::pending::<Event>()))
    });
    SseLayer::new().streams(streams).layer(pending).oneshot(request).await.unwrap()
}

fn refusal() -> Refusal {
    Refusal::too_many_requests().retry(Duration::from_secs(1))
}

#[tokio::test]
async fn clients_at_the_limit_of_a_subject_do_what_the_guide_says() {
    // The client, its number of requests, and how it ends.
    for (name, requests, end) in [
        ("openai", 3, "complete"),
        ("openai-python", 3, "complete"),
        ("langgraph", 3, "complete"),
        ("langgraph-python", 1, "RateLimitError: 429 Too Many Requests"),
        ("ai", 1, "AI_APICallError: Failed to fetch the chat response."),
        ("ai-6", 1, "Error: "),
        ("tanstack", 1, "Error: HTTP error! status: 429 Too Many Requests"),
        ("fetch", 1, "Error: 429"),
    ] {
        let limited = Limited::start().await;
        let v1 = format!("{}/v1", limited.url);
        let client = match name {
            "openai" => Client::node(Packages::All, "openai", "openai.mjs", &[&v1, "2"]),
            "openai-python" => Client::python("openai_client.py", &[&v1, "2"]),
            _ => Client::of(name, Packages::All, &limited.url),
        };
        let mut client = client.expect("the clients");
        assert_eq!(client.end().await, end, "{name}");
        assert_eq!(limited.requests.load(SeqCst), requests, "{name}");
    }
    let limited = Limited::start().await;
    let client = Client::of("eventsource", Packages::All, &limited.url);
    let mut client = client.expect("the clients");
    client.until_received(PACE.text(0).len()).await;
    assert_eq!(limited.requests.load(SeqCst), 3);
}
