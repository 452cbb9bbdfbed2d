use axum::extract::{Request as AxumRequest, State};
use tokio_stream::wrappers::BroadcastStream;

use crate::*;

/// Counts on from the id that the client sends.
async fn count(request: AxumRequest) -> impl IntoResponse {
    let last = LastEventId::from_headers(request.headers());
    let first = last.and_then(|last| last.parse().ok()).map_or(1, |last: u32| last + 1);
    tower_sse::response(stream::iter(first..).map(|n| Event::new().id(n).data(n.to_string())))
}

fn router() -> Router {
    Router::new().route("/count", get(count)).layer(SseLayer::new())
}

fn numbers(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| &*message.data).collect()
}

#[tokio::test]
async fn stream_of_a_router_continues_behind_the_last_message_after_a_cut() {
    let mut client = TestClient::new(router());
    let mut events = client.get("/count").await;
    // The server has sent many more by then.
    assert_eq!(numbers(&events.take(3).await), ["1", "2", "3"]);
    let mut events = client.reconnect(events).await;
    assert_eq!(events.last_event_id(), "3", "before anything has come");
    assert_eq!(events.next().await.data, "4");
    let mut events = client.reconnect(events).await;
    assert_eq!(events.next().await.data, "5");
}

#[tokio::test]
async fn streams_of_one_client_are_independent() {
    let mut client = TestClient::new(router());
    let mut first = client.get("/count").await;
    let mut second = client.resume("/count", "41").await;
    assert_eq!(first.next().await.data, "1");
    assert_eq!(second.next().await.data, "42");
    assert_eq!(first.next().await.data, "2");
}

type Heads = Arc<Mutex<Vec<(String, HeaderMap)>>>;

/// Returns a service that records the heads of its requests, and answers each with the next of
/// `bodies`.
fn recording(
    bodies: &'static [&'static str],
) -> (Heads, impl tower::Service<Request<String>, Response = Response<String>, Error = Infallible>)
{
    let heads = Heads::default();
    let recorded = Arc::clone(&heads);
    let service = service_fn(move |request: Request<String>| {
        let mut heads = heads.lock().unwrap();
        assert_eq!(request.method(), "GET");
        let body = bodies[heads.len()].to_owned();
        heads.push((request.uri().to_string(), request.headers().clone()));
        std::future::ready(Ok(event_stream(body)))
    });
    (recorded, service)
}

fn sent_ids(heads: &Heads) -> Vec<Option<String>> {
    let heads = heads.lock().unwrap();
    let id = |headers: &HeaderMap| {
        let value = headers.get(LastEventId::HEADER)?;
        Some(String::from_utf8(value.as_bytes().to_vec()).unwrap())
    };
    heads.iter().map(|(_, headers)| id(headers)).collect()
}

#[tokio::test]
async fn requests_have_headers_of_an_event_source_and_of_the_test() {
    let (heads, service) = recording(&["", ""]);
    let mut client = TestClient::new(service).header("cookie", "a=b").header(ACCEPT, "*/*");
    let events = client.get("/a?b=c").await;
    client.reconnect(events).await.collect().await;
    let heads = heads.lock().unwrap();
    for (uri, headers) in &*heads {
        assert_eq!(uri, "/a?b=c");
        let mut headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        headers.sort_unstable();
        let expected: [(&str, &[u8]); 5] = [
            ("accept", b"*/*"),
            ("cache-control", b"no-cache"),
            ("cookie", b"a=b"),
            ("host", b"localhost"),
            ("pragma", b"no-cache"),
        ];
        assert_eq!(headers, expected);
    }
    assert_eq!(heads.len(), 2);
}

/// In HTTP, spaces around a header's value do not belong to the value.
#[tokio::test]
async fn id_arrives_without_the_spaces_around_it() {
    let (heads, service) = recording(&["id:  7 \t\ndata: a\n\n", "id:  \ndata: b\n\n", ""]);
    let mut client = TestClient::new(service);
    let mut events = client.get("/").await;
    assert_eq!(&*events.next().await.last_event_id, " 7 \t");
    let mut events = client.reconnect(events).await;
    assert_eq!(&*events.next().await.last_event_id, " ");
    client.reconnect(events).await.collect().await;
    assert_eq!(sent_ids(&heads), [None, Some("7".to_owned()), Some(String::new())]);
}

#[tokio::test]
async fn id_is_kept_until_another_one_or_an_empty_one_comes() {
    let (heads, service) = recording(&[
        "data: a\n\n",
        "id: Größe 7\ndata: a\n\n",
        ": no id\n\n",
        "data: a\n\n",
        "id\ndata: a\n\n",
        "",
    ]);
    let mut client = TestClient::new(service);
    let mut events = client.get("/").await;
    let mut received = Vec::new();
    for _ in 0..5 {
        let messages = events.collect().await;
        received.extend(messages.iter().map(|message| message.last_event_id.to_string()));
        events = client.reconnect(events).await;
    }
    assert_eq!(received, ["", "Größe 7", "Größe 7", ""]);
    let sent = sent_ids(&heads);
    let sent: Vec<_> = sent.iter().map(Option::as_deref).collect();
    let id = Some("Größe 7");
    assert_eq!(sent, [None, None, id, id, id, None]);
}

#[tokio::test(start_paused = true)]
async fn layer_takes_the_client_for_an_event_source() {
    let age = Duration::from_secs(60);
    let source = service_fn(|_: Request<String>| async {
        Ok::<_, Infallible>(tower_sse::response(stream::pending::<Event>()))
    });
    let layer: SseLayer = SseLayer::new().max_age(MaxAge::new(age).jitter(0.0));
    let service = ServiceBuilder::new().layer(layer).service(source);
    let mut client = TestClient::new(service).time_limit(2 * age);
    // The bodies of `fetch` clients fail, because these do not reconnect after a clean end.
    assert_eq!(client.get("/").await.collect().await, []);
    let mut client = client.header("cache-control", "max-age=0").header("sec-fetch-mode", "cors");
    client.get("/").await.error().await;
}

#[tokio::test]
async fn service_may_take_a_body_of_another_type() {
    async fn answer<B>(_: Request<B>) -> Result<Response<String>, Infallible> {
        Ok(event_stream("data: a\n\n".to_owned()))
    }
    let mut client = TestClient::new(service_fn(answer::<()>)).request_body::<()>();
    assert_eq!(client.get("/").await.next().await.data, "a");
    let mut client =
        TestClient::new(service_fn(answer::<axum::body::Body>)).request_body::<axum::body::Body>();
    assert_eq!(client.get("/").await.next().await.data, "a");
}

#[tokio::test]
async fn stream_is_cut_before_it_is_opened_again() {
    let mut previous = Weak::<()>::new();
    let service = service_fn(move |_: Request<String>| {
        assert_eq!(previous.strong_count(), 0, "the previous stream is dropped");
        let here = Arc::new(());
        previous = Arc::downgrade(&here);
        let events = stream::repeat(()).map(move |()| {
            let _: &Arc<()> = &here;
            Event::from("a")
        });
        std::future::ready(Ok::<_, Infallible>(tower_sse::response(events)))
    });
    let mut client = TestClient::new(service);
    let mut events = client.get("/").await;
    events.next().await;
    let mut events = client.reconnect(events).await;
    assert_eq!(events.next().await.data, "a");
}

#[tokio::test]
async fn service_is_called_when_it_is_ready() {
    // This service panics if it is called before it is ready.
    let service = ServiceBuilder::new().concurrency_limit(1).service(router());
    let mut client = TestClient::new(service);
    for _ in 0..2 {
        client.get("/count").await.next().await;
    }
}

#[tokio::test(start_paused = true)]
async fn service_lives_as_long_as_a_stream() {
    // As in axum's examples: the channel closes when the last sender is dropped with the state.
    let (sender, _) = broadcast::channel::<&str>(1);
    let subscribe = async |State(sender): State<broadcast::Sender<&'static str>>| {
        let received = BroadcastStream::new(sender.subscribe());
        tower_sse::response(received.map(|text| text.map(Event::from)))
    };
    let weak = sender.downgrade();
    let app: Router = Router::new().route("/", get(subscribe)).with_state(sender);

    let mut events = TestClient::new(app).get("/").await;
    events.assert_no_message(Duration::from_secs(60)).await;
    weak.upgrade().unwrap().send("a").unwrap();
    assert_eq!(events.next().await.data, "a");
    drop(events);
    assert_eq!(weak.strong_count(), 0);
}

// Answers that are not event streams.

#[tokio::test]
async fn answer_that_is_no_event_stream_is_returned_whole() {
    let service = service_fn(|request: Request<String>| async move {
        let answer = match request.uri().path() {
            "/204" => Response::new(String::new()).with_status(204),
            "/401" => Response::new("who is it?".to_owned()).with_status(401),
            "/json" => Response::new("{}".to_owned()),
            "/202" => event_stream("data: a\n\n".to_owned()).with_status(202),
            _ => event_stream("id: 1\ndata: a\n\n".to_owned()),
        };
        let id = request.headers().get(LastEventId::HEADER).cloned();
        let (mut head, body) = answer.into_parts();
        head.headers.extend(id.map(|id| (HeaderName::from_static("x-id"), id)));
        Ok::<_, Infallible>(Response::from_parts(head, body))
    });
    let mut client = TestClient::new(service);
    for (uri, status, body) in [
        ("/204", 204, ""),
        ("/401", 401, "who is it?"),
        ("/json", 200, "{}"),
        ("/202", 202, "data: a\n\n"),
    ] {
        let answer = client.try_get(uri).await.unwrap_err();
        assert_eq!(
            (answer.status().as_u16(), &**answer.body()),
            (status, body.as_bytes()),
            "{uri}"
        );
        assert!(!answer.headers().contains_key("x-id"), "{uri}");
        let answer = client.try_resume(uri, "7").await.unwrap_err();
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["x-id"].as_bytes()),
            (status, &b"7"[..]),
            "{uri}"
        );
    }

    let mut events = client.try_get("/").await.unwrap();
    assert_eq!(events.next().await.data, "a");
    let events = client.reconnect(events).await;
    assert_eq!(events.last_event_id(), "1");
    assert_eq!(client.try_resume("/", "7").await.unwrap().last_event_id(), "7");
}
