//! With feature `tracing`, every report on a stream is made within its request's span.

use tracing::info_span;
use tracing_subscriber::{layer::Context, registry::LookupSpan};

use crate::{log::current_span, *};

/// The beginning of a log line that is written within the request's span.
const OF_THE_REQUEST: &str = "DEBUG the request: tower_sse";

/// The spans in which `on_open` and `on_close` were called.
type Spans = Arc<Mutex<Vec<Option<&'static str>>>>;

fn noting_spans<M>(layer: SseLayer<M>) -> (SseLayer<M>, Spans) {
    let spans = Spans::default();
    let (opens, closes) = (Arc::clone(&spans), Arc::clone(&spans));
    let layer = layer
        .on_open(move || opens.lock().unwrap().push(current_span()))
        .on_close(move |_| closes.lock().unwrap().push(current_span()));
    (layer, spans)
}

/// The application knows more about the source's errors than the layer, so it logs them itself.
/// Only for a cancellation, the layer adds a line.
async fn logs_only_the_close_at_debug<K: Kind>() {
    for &exit in ExitPath::ALL {
        let (log, recording) = Log::record();
        exit.go::<K>(&SseLayer::new()).await;
        drop(recording);
        let lines = log.lines();
        let closed = exit.reason::<K>().map(|reason| format!(r#"reason="{reason}""#));
        assert!(lines.iter().all(|line| line.starts_with("DEBUG ")), "{exit:?}: {lines:?}");
        let is_of_close = |line: &&String| line.contains("closed");
        let closes: Vec<_> = lines.iter().filter(is_of_close).collect();
        assert_eq!(closes.len(), usize::from(closed.is_some()), "{exit:?}: {lines:?}");
        assert!(closed.is_none_or(|reason| closes[0].contains(&reason)), "{exit:?}: {lines:?}");
        let cancelled = usize::from(exit.end() == CloseReason::Cancelled);
        assert_eq!(lines.len(), closes.len() + cancelled, "{exit:?}: {lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_close_is_logged_at_debug_on_every_exit_path() {
    for_each_kind!(logs_only_the_close_at_debug.await);
}

/// Asserts that the close is in the request's span, although the body is dropped in another one.
fn closes_in_the_requests_span<K: Kind>() {
    let (log, _recording) = Log::record();
    let reports = Reports::default();
    let (layer, spans) = noting_spans(reports.observe(SseLayer::<K::Marker>::new()));
    let trace =
        TraceLayer::new_for_http().make_span_with(|_: &Request<String>| info_span!("the request"));
    let service = service_fn(|_: Request<String>| {
        std::future::ready(Ok::<_, Infallible>(K::answer(Source::new().1)))
    });
    let mut service = trace.layer(layer.layer(service));
    let Ok(response) = service.call(Request::new(String::new())).now_or_never().unwrap();
    assert_eq!(current_span(), None);
    info_span!("elsewhere").in_scope(|| {
        drop(response);
        assert_eq!(current_span(), Some("elsewhere"));
    });

    let lines = log.lines();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.starts_with(OF_THE_REQUEST) && line.contains("closed"), "{line}");
    let request = Some("the request");
    assert_eq!(*spans.lock().unwrap(), [request, request]);
    assert_eq!(reports.closed().len(), 1);
}

#[test]
fn close_and_the_closures_are_in_the_requests_span() {
    for_each_kind!(closes_in_the_requests_span);
}

/// A bare stream opens when the service is called, before there is a head.
#[test]
fn bare_stream_dropped_before_its_head_closes_in_the_requests_span() {
    let (log, _recording) = Log::record();
    let (layer, spans) = noting_spans(SseLayer::new());
    let never = || pending::<Result<Events, Infallible>>();
    let mut service = layer.layer(service_fn(|_: Request<()>| never()));
    let call = info_span!("the request").in_scope(|| service.call(Request::new(())));
    drop(call);
    let request = Some("the request");
    assert_eq!(*spans.lock().unwrap(), [request, request]);
    assert!(log.lines()[0].starts_with(OF_THE_REQUEST), "{:?}", log.lines());
}

/// A stream that ends while it is polled ends in the span in which the server polls, but is
/// reported in the request's span.
#[tokio::test]
async fn stream_that_ends_by_itself_closes_in_the_requests_span() {
    let error = std::io::Error::other(cancelled_task().await);
    let (log, _recording) = Log::record();
    let (layer, spans) = noting_spans(SseLayer::<marker::Events>::new().without_retry());
    let (source, events) = Source::new();
    let event_source = Requester::EventSource.request("/");
    let response = info_span!("the request").in_scope(|| answer_to(event_source, &layer, events));
    let mut body = response.into_body();
    source.fail(error);
    let polled = info_span!("the connection").in_scope(|| poll_frame(&mut body));
    assert_eq!(polled, Polled::End);

    let lines = log.lines();
    assert!(lines.last().unwrap().starts_with(OF_THE_REQUEST), "{lines:?}");
    assert_eq!(*spans.lock().unwrap(), [Some("the request"); 2]);
    drop(body);
    assert_eq!(log.lines().len(), lines.len(), "it closes once");
}

/// The layer keeps the span for its report of the close. Exporters wait until a span closes, so it
/// must not outlive the body.
#[test]
fn span_is_released_with_the_body() {
    #[derive(Clone, Default)]
    struct Closed(Arc<Mutex<Vec<&'static str>>>);
    impl<S: Subscriber + for<'s> LookupSpan<'s>> tracing_subscriber::Layer<S> for Closed {
        fn on_close(&self, id: tracing::Id, context: Context<'_, S>) {
            self.0.lock().unwrap().push(context.span(&id).unwrap().name());
        }
    }

    let closed = Closed::default();
    let _recording = record_by(Registry::default().with(closed.clone()));
    let layer = SseLayer::<marker::Http>::new();
    let body = info_span!("the request").in_scope(|| open::<Bodies>(&layer)).unwrap();
    assert_eq!(*closed.0.lock().unwrap(), [""; 0]);
    drop(body);
    assert_eq!(*closed.0.lock().unwrap(), ["the request"]);
}
