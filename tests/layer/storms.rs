//! Scripts that wait only after errors: they read an answer to its end and ask again at once.

use axum::body;
use tower_sse::hub::Hub;
use tower_sse::runs::{RunKey, Runs};
use tower_sse::streams::Streams;

use self::SECOND;
use crate::*;

/// What answers the script, and the id that it sends, if any.
type Scene = (&'static str, Router, Option<String>);

fn served<H: axum::handler::Handler<T, ()>, T: 'static>(answer: H, layer: SseLayer) -> Router {
    Router::new().route("/", get(answer.clone()).post(answer)).layer(layer)
}

async fn endless() -> Response<body::Body> {
    tower_sse::response(stream::pending::<Event>()).into_response()
}

/// Returns the scenes of refusals. The second part keeps the layer at its limit.
async fn refusals() -> (Vec<Scene>, impl Sized) {
    let (layer, kept) = full(Refusal::default());
    let (layer_of_later, kept_of_later) = full(Refusal::retry_later());
    let stopping = CancellationToken::new();
    stopping.cancel();
    let streams = Streams::builder().limit("user:", 1).build();
    let of_user = served(
        async |subjects: Subjects| {
            subjects.add("user:1");
            endless().await
        },
        SseLayer::new().streams(&streams),
    );
    let first: Request<body::Body> = Requester::EventSource.request("/");
    let kept_of_user = of_user.clone().oneshot(first).await.unwrap();
    let own = |refusal: Refusal| {
        let answer = move |parts: Parts| ready(refusal.answer(&parts).into_response());
        served(answer, SseLayer::new())
    };
    let scenes = vec![
        ("limit", served(endless, layer), None),
        ("limit, retry later", served(endless, layer_of_later), None),
        ("limit of a user", of_user, None),
        ("shutdown", served(endless, SseLayer::new().shutdown(stopping)), None),
        ("a program's refusal", own(Refusal::retry_later()), None),
        ("a program's 429", own(Refusal::too_many_requests()), None),
    ];
    (scenes, (kept, kept_of_later, kept_of_user))
}

fn ended_topics() -> Vec<Scene> {
    let hub = Hub::new();
    let last = hub.end("a", Event::from("last")).now_or_never().unwrap().unwrap();
    let answer = move |last: Option<LastEventId>| {
        ready(hub.subscribe(["a"]).resume(last).response().into_response())
    };
    let topic = served(answer, SseLayer::new());
    let over = async || StatusCode::NO_CONTENT;
    vec![
        ("ended topic", topic.clone(), Some(last.id().as_str().to_owned())),
        ("first visit to an ended topic", topic, None),
        ("a handler's 204", served(over, SseLayer::new()), None),
    ]
}

async fn runs() -> Vec<Scene> {
    let key = RunKey::shared("turn").unwrap();
    let by = |runs: Runs| {
        let key = key.clone();
        let answer = move |parts: Parts| {
            let (runs, key) = (runs.clone(), key.clone());
            async move {
                match runs.start(&key, &parts, stream::pending::<Event>).await {
                    Ok(run) => run.answer(&parts).await.into_response(),
                    Err(error) => error.answer(&parts).into_response(),
                }
            }
        };
        served(answer, SseLayer::new())
    };
    let mut scenes = Vec::new();
    for name in ["completed", "empty", "failed", "cancelled", "unknown", "full"] {
        let runs = Runs::builder().max_running(1).build();
        let mut id = Some("unknown".to_owned());
        if name == "full" {
            let other = RunKey::shared("other").unwrap();
            _ = runs.start(&other, None, stream::pending::<Event>).await.unwrap();
        } else if name != "unknown" {
            let run = match name {
                "completed" => runs.start(&key, None, || stream::iter([Event::from("a")])).await,
                "empty" => runs.start(&key, None, stream::empty::<Event>).await,
                "failed" => {
                    let failed = [Ok(Event::from("a")), Err(io::Error::other("failed"))];
                    runs.start(&key, None, || stream::iter(failed)).await
                }
                _ => runs.start(&key, None, stream::pending::<Event>).await,
            };
            let run = run.unwrap();
            if name == "cancelled" {
                run.cancel().await;
            }
            run.ended().await.unwrap();
            id = (name != "empty").then(|| run.event_id(1).as_str().to_owned());
        }
        scenes.push((name, by(runs), id.filter(|_| name != "full")));
    }
    scenes
}

/// Returns how often the script asks within ten seconds. It gives up after 1,000 requests.
async fn requests_of_script((_, service, id): &Scene, client: Requester) -> usize {
    let (begin, mut asked) = (Instant::now(), 0);
    while begin.elapsed() < 10 * SECOND && asked < 1_000 {
        asked += 1;
        let mut request: Request<body::Body> = client.request("/");
        if let Some(id) = id {
            request.headers_mut().insert("last-event-id", id.parse().unwrap());
        }
        let response = service.clone().oneshot(request).await.unwrap();
        let is_error = response.status().as_u16() >= 400;
        if response.into_body().collect().await.is_err() || is_error {
            sleep(5 * SECOND).await;
        }
    }
    asked
}

#[tokio::test(start_paused = true)]
async fn script_that_waits_only_after_errors_asks_twice_a_second_at_most() {
    let mut storms = Vec::new();
    for client in Requester::ALL {
        let (mut scenes, _kept) = refusals().await;
        scenes.extend(ended_topics());
        scenes.extend(runs().await);
        for scene in &scenes {
            let asked = timeout(60 * SECOND, requests_of_script(scene, client)).await;
            let asked = asked.expect("the answer ends");
            // Any request but an `EventSource`'s or a library's may have nothing to do with streams.
            let is_any = scene.0 == "a handler's 204"
                && !matches!(client, Requester::EventSource | Requester::Library);
            if asked > 20 && !is_any {
                storms.push((scene.0, client, asked));
            }
        }
    }
    assert!(storms.is_empty(), "{storms:#?}");
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_the_answers_that_are_held() {
    let hub = Hub::new();
    hub.end("a", Event::from("last")).await.unwrap();
    let stopping = CancellationToken::new();
    let layer = SseLayer::new().shutdown(stopping.clone()).max_streams(1);
    let ended = move || hub.subscribe(["a"]).resume(None).response();
    // While it's held, the stream takes no place.
    let held = answer_to(Requester::Get.request("/"), &layer, ended());
    let mut bodies = vec![held.into_body().boxed()];
    assert_eq!(poll_frame(&mut bodies[0]), Polled::Pending);
    let open = answer_to(event_source(), &layer, event_stream(Feed::new().1));
    assert_eq!(open.status(), StatusCode::OK);
    let mut refused = answer_to(event_source(), &layer, event_stream(Feed::new().1)).into_body();
    assert!(matches!(poll_frame(&mut refused), Polled::Data(_)));
    bodies.push(refused.boxed());
    let service = layer.layer(service_fn(move |_| ready(Ok::<_, Infallible>(ended()))));
    let mut over = tokio::spawn(service.oneshot(event_source()));
    yield_now().await;
    assert!(poll!(&mut over).is_pending());
    for body in &mut bodies {
        assert_eq!(poll_frame(body), Polled::Pending);
    }
    let begun = Instant::now();
    stopping.cancel();
    for body in &mut bodies {
        assert_eq!(poll_frame(body), Polled::End);
    }
    assert_eq!(over.await.unwrap().unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    drop(open);
}
