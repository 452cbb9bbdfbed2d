use axum::body::Body;

use crate::*;

fn layer() -> SseLayer {
    SseLayer::new()
        .heartbeat(Heartbeat::every(SECOND).comment("beat"))
        .retry(Retry::fixed(5 * SECOND))
        .padding(4)
        .terminator(Event::from("[DONE]"))
        .on_error(|error| Event::new().event("error").data(error.to_string()))
}

fn fed_with(layer: &SseLayer, options: Option<StreamOptions>) -> (Feed, SseBody<FedBody>) {
    let (feed, source) = Feed::new();
    let mut answer = event_stream(source);
    if let Some(options) = options {
        answer = answer.with_options(options);
    }
    (feed, through(layer, answer).into_body())
}

/// Returns what a client gets of a stream that is silent for a while, has one event, and then ends
/// or fails.
async fn transcript(layer: &SseLayer, options: Option<StreamOptions>, fails: bool) -> String {
    let (feed, mut body) = fed_with(layer, options);
    let mut transcript = String::new();
    let mut read = || loop {
        match poll_frame(&mut body) {
            Polled::Data(bytes) => transcript.push_str(str::from_utf8(&bytes).unwrap()),
            Polled::Failed(error) => transcript.push_str(&error),
            Polled::Pending | Polled::End => return,
            Polled::Trailers(trailers) => panic!("{trailers:?}"),
        }
    };
    read();
    advance(SECOND + SECOND / 8).await;
    read();
    feed.data("data: one\n\n");
    if fails {
        feed.fail(io::Error::other("disk full"));
    } else {
        feed.end();
    }
    read();
    advance(SECOND / 8).await;
    read();
    transcript
}

#[tokio::test(start_paused = true)]
async fn duration_is_an_interval_a_reconnection_time_and_a_maximum_age() {
    let layer = SseLayer::new().heartbeat(SECOND).retry(5 * SECOND).max_age(9 * SECOND);
    let options = StreamOptions::new().heartbeat(SECOND).retry(5 * SECOND).max_age(9 * SECOND);
    for (layer, options) in [(layer, None), (SseLayer::new(), Some(options))] {
        let (_feed, mut body) = fed_with(&layer, options);
        assert_eq!(poll_frame(&mut body), data("retry: 5000\n"));
        idle(&mut body, SECOND + SECOND / 8).await;
        assert_eq!(poll_frame(&mut body), data(": \n"));
        idle(&mut body, 9 * SECOND).await;
        assert_eq!(poll_frame(&mut body), Polled::End);
    }
}

#[tokio::test(start_paused = true)]
async fn layers_options_apply_to_a_response_without_options() {
    for options in [None, Some(StreamOptions::new()), Some(StreamOptions::default())] {
        let ended = transcript(&layer(), options.clone(), false).await;
        assert_eq!(ended, "retry: 5000\n:  \n: beat\ndata: one\n\ndata: [DONE]\n\n");
        let failed = transcript(&layer(), options, true).await;
        assert_eq!(
            failed,
            "retry: 5000\n:  \n: beat\ndata: one\n\nevent: error\ndata: disk full\n\n"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn each_option_can_be_set_or_undone_for_one_response() {
    let (bare, new) = (SseLayer::new(), StreamOptions::new);
    let beat = Heartbeat::every(SECOND).event("beat", "1");
    let unnamed = Heartbeat::every(SECOND).event("", "{}");
    for (layer, options, expected) in [
        (&layer(), new().without_heartbeat(), "retry: 5000\n:  \ndata: one\n\ndata: [DONE]\n\n"),
        (&layer(), new().padding(0), "retry: 5000\n: beat\ndata: one\n\ndata: [DONE]\n\n"),
        (&layer(), new().without_terminator(), "retry: 5000\n:  \n: beat\ndata: one\n\n"),
        (
            &bare,
            new().heartbeat(beat),
            "event: beat\ndata: 1\n\nevent: beat\ndata: 1\n\ndata: one\n\n",
        ),
        (&bare, new().heartbeat(unnamed), "data: {}\n\ndata: {}\n\ndata: one\n\n"),
        (&bare, new().retry(Retry::fixed(7 * SECOND)), "retry: 7000\ndata: one\n\n"),
        (&bare, new().padding(5), ":   \ndata: one\n\n"),
        (&bare, new().terminator(Event::from("end")), "data: one\n\ndata: end\n\n"),
    ] {
        let name = format!("{options:?}");
        assert_eq!(transcript(layer, Some(options), false).await, expected, "{name}");
    }
    let with_error_event = new().on_error(|_| Event::from("sorry"));
    let failed = transcript(&bare, Some(with_error_event), true).await;
    assert_eq!(failed, "data: one\n\ndata: sorry\n\n");
}

#[test]
fn layer_removes_the_options_from_the_response() {
    let mut answer = event_stream(Feed::new().1).with_options(StreamOptions::new().padding(4));
    answer.extensions_mut().insert("theirs");
    let response = through(&SseLayer::new(), answer);
    assert!(response.extensions().get::<StreamOptions>().is_none());
    assert_eq!(response.extensions().get::<&str>(), Some(&"theirs"));
}

#[cfg(feature = "axum")]
async fn body_of(app: Router) -> Bytes {
    let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
    response.into_body().collect().await.unwrap().to_bytes()
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn several_options_of_one_response_are_merged() {
    async fn handler() -> impl IntoResponse {
        let terminator = StreamOptions::new().terminator("[DONE]").padding(8);
        let retry = StreamOptions::new().retry(Retry::fixed(7 * SECOND));
        (retry, (terminator, tower_sse::response(stream::iter([Event::from("one")]))))
    }

    async fn middleware(mut response: axum::response::Response) -> axum::response::Response {
        StreamOptions::new().max_age(60 * SECOND).padding(4).merge_into(&mut response);
        response
    }

    let app = Router::new()
        .route("/", get(handler))
        .layer(axum::middleware::map_response(middleware))
        .layer(SseLayer::new());
    assert_eq!(body_of(app).await, "retry: 7000\n:  \ndata: one\n\ndata: [DONE]\n\n");
}

/// Each case has the options of the request and of the response, and the stream's terminator.
#[tokio::test]
async fn options_of_a_request_rank_between_its_layer_and_its_response() {
    let texts = |name: &str| StreamOptions::new().terminator(name);
    for (in_request, in_response, last) in [
        (None, None, "layer"),
        (Some(texts("request")), None, "request"),
        (None, Some(texts("response")), "response"),
        (Some(texts("request")), Some(texts("response")), "response"),
        (Some(texts("request")), Some(StreamOptions::new().padding(0)), "request"),
    ] {
        let _case = case(last);
        let mut request = Request::new(());
        request.extensions_mut().insert("theirs");
        if let Some(options) = in_request {
            options.merge_into_extensions(request.extensions_mut());
        }
        let mut answer = Response::new(stream::iter([Event::from("one")]));
        if let Some(options) = in_response {
            answer = answer.with_options(options);
        }
        let response = answer_to(request, &SseLayer::new().terminator("layer"), answer);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, format!("data: one\n\ndata: {last}\n\n"));
    }
}

#[tokio::test]
async fn close_calls_closures_of_layer_request_and_response() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let closed = |name: &'static str| {
        let sender = sender.clone();
        StreamOptions::new().on_close(move |_| sender.send(name).unwrap())
    };
    let layer = SseLayer::new();
    let in_layer = sender.clone();
    let layer = layer.on_close(move |_| in_layer.send("layer").unwrap()).options(closed("options"));
    let mut request = Request::new(());
    closed("authentication").merge_into_extensions(request.extensions_mut());
    closed("request").merge_into_extensions(request.extensions_mut());
    let mut answer = Response::new(stream::empty::<Event>());
    closed("handler").merge_into(&mut answer);
    closed("middleware").merge_into(&mut answer);
    drop(answer_to(request, &layer, answer));
    let all: Vec<_> = receiver.try_iter().collect();
    assert_eq!(all, ["layer", "options", "authentication", "request", "handler", "middleware"]);
}

#[tokio::test]
async fn service_of_bare_streams_has_the_options_of_its_request() {
    let mut request = Request::new(());
    StreamOptions::new().terminator("request").merge_into_extensions(request.extensions_mut());
    let response = answer_to(request, &SseLayer::new(), stream::iter([Event::from("one")]));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "data: one\n\ndata: request\n\n");
}

/// The module `tower-sse.js` expects these names, and the interval as data.
#[tokio::test(start_paused = true)]
async fn layer_for_pages_sends_heartbeats_and_reads_queries_as_pages_expect() {
    for (layer, interval) in [
        (SseLayer::new().for_pages(), "15000"),
        (SseLayer::new().for_pages().heartbeat(Heartbeat::every(5 * SECOND).for_pages()), "5000"),
    ] {
        let request = Requester::EventSource.request("/events?last=e-7");
        let mut body =
            answer_to(request, &layer.clone().without_retry(), event_stream(Feed::new().1));
        let beat = format!("event: heartbeat\ndata: {interval}\nid: e-7\n\n");
        assert_eq!(poll_frame(body.body_mut()), Polled::Data(beat.into()));

        let last = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&last);
        let service = layer.without_retry().layer(service_fn(move |request: Request<()>| {
            *seen.lock().unwrap() = request.extensions().get::<LastEventId>().cloned();
            ready(Ok::<_, Infallible>(event_stream(Feed::new().1)))
        }));
        let request = Requester::EventSource.request("/events?poll=8&last=e-7");
        let mut body = service.oneshot(request).await.unwrap().into_body();
        assert_eq!(last.lock().unwrap().as_ref().map(LastEventId::as_str), Some("e-7"));
        idle(&mut body, 4 * SECOND).await;
        idle(&mut body, 4 * SECOND + MILLISECOND).await;
        assert_eq!(poll_frame(&mut body), Polled::End);
    }
}
