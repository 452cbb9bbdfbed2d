use http::request::Parts;
use tower_sse::{Label, StatsSnapshot};

use crate::{rig::Rig, *};

fn path(parts: &Parts) -> String {
    parts.uri.path().to_owned()
}

fn counts(now: &StatsSnapshot) -> Vec<(&str, u64, u64)> {
    now.by_label.iter().map(|(label, streams)| (&**label, streams.open, streams.opened)).collect()
}

fn request(path: &str) -> Request<()> {
    Request::get(path).header("x-kept", "yes").extension(7_u8).body(()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn label_of_the_request_is_in_the_report_and_the_statistics() {
    let stats = Stats::new();
    let layer = || SseLayer::new().label(path).stats(&stats);
    let one = Rig::fed(layer(), request("/events"));
    let two = Rig::fed(layer(), request("/chat"));
    let three = Rig::fed(layer(), request("/events"));
    assert_eq!(counts(&stats.snapshot()), [("/events", 2, 2), ("/chat", 1, 1)]);
    assert_eq!(one.leave().label.as_deref(), Some("/events"));
    assert_eq!(counts(&stats.snapshot()), [("/events", 1, 2), ("/chat", 1, 1)]);
    let text = stats.snapshot().to_string();
    assert!(text.contains("sse_label_streams_open{label=\"/events\"} 1\n"), "{text}");
    assert!(text.contains("sse_label_streams_opened_total{label=\"/events\"} 2\n"), "{text}");
    drop((two, three));
    assert_eq!(Rig::fed(SseLayer::new(), request("/")).leave().label, None);
}

#[tokio::test(start_paused = true)]
async fn request_is_unchanged_behind_the_label() {
    let layer = SseLayer::new().label(|parts: &Parts| {
        assert_eq!((parts.uri.path(), parts.method.as_str()), ("/a", "GET"));
        assert_eq!(parts.extensions.get(), Some(&7_u8));
        Label::from_static("a")
    });
    answer_by(request("/a"), &layer, |request| {
        assert_eq!(
            (request.uri().path(), &request.headers()["x-kept"]),
            ("/a", &"yes".parse().unwrap())
        );
        assert_eq!(request.extensions().get(), Some(&7_u8));
        event_stream(Feed::new().1)
    });
}

#[tokio::test(start_paused = true)]
async fn responses_without_a_stream_count_for_no_label() {
    let stats = Stats::new();
    let layer = SseLayer::new().label(path).stats(&stats);
    answer_to(request("/"), &layer, http::Response::new(Feed::new().1));
    assert_eq!(counts(&stats.snapshot()), []);
    assert!(!stats.snapshot().to_string().contains("label"));
}

/// Clients can choose paths, if a program does not take care.
#[tokio::test(start_paused = true)]
async fn streams_with_too_many_labels_count_as_other() {
    let stats = Stats::new();
    let layer = || SseLayer::new().label(path).stats(&stats);
    let open: Vec<_> =
        (0..150).map(|label| Rig::fed(layer(), request(&format!("/{label}")))).collect();
    let now = stats.snapshot();
    assert_eq!(counts(&now)[99..], [("/99", 1, 1), ("other", 50, 50)]);
    let reports = open.into_iter().map(Rig::leave);
    let labels: Vec<_> = reports.map(|report| report.label.unwrap()).collect();
    assert_eq!(&*labels[149], "/149", "a report has its own label");
    let now = stats.snapshot();
    assert_eq!(counts(&now)[99..], [("/99", 0, 1), ("other", 0, 50)]);
}

#[tokio::test(start_paused = true)]
async fn closure_that_panics_leaves_the_stream_without_a_label() {
    let layer = SseLayer::new().label(|_| -> Label { panic!("in the label") });
    assert_eq!(Rig::fed(layer, request("/")).leave().label, None);
}

#[cfg(feature = "axum")]
#[tokio::test(start_paused = true)]
async fn route_of_axum_is_known_inside_of_its_router() {
    use axum::{Router, extract::MatchedPath, routing::get};
    use tower::ServiceExt;

    let reports = Reports::default();
    let layer = reports.observe(SseLayer::new().label(|parts: &Parts| {
        let path: Option<&MatchedPath> = parts.extensions.get();
        path.expect("a route").as_str().to_owned()
    }));
    let stream = async || tower_sse::response(Source::new().1);
    let app: Router = Router::new().route("/rooms/{room}", get(stream)).layer(layer);
    let request = Request::get("/rooms/7").body(axum::body::Body::empty()).unwrap();
    drop(app.oneshot(request).await.unwrap());
    assert_eq!(reports.closed()[0].label.as_deref(), Some("/rooms/{room}"));
}
