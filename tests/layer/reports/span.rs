//! With feature `tracing`, every report on a stream is made within its request's span.

use std::{
    convert::Infallible,
    sync::{Arc, LazyLock, Mutex},
};

use futures_util::FutureExt;
use http::Request;
use tower::{Layer, Service, service_fn};
use tower_http::trace::TraceLayer;
use tower_sse::{SseLayer, marker};
use tracing::{
    Dispatch, Event, Level, Span, Subscriber,
    field::{Field, Visit},
    info_span,
    subscriber::{DefaultGuard, set_default},
};
use tracing_subscriber::{
    layer::{Context, SubscriberExt},
    registry::{LookupSpan, Registry},
};

use crate::support::{
    Bodies, Events, ExitPath, Kind, Polled, Reports, Responses, Source, Streams, cancelled_task,
    open, poll_frame,
};

/// With only one subscriber alive in the process, the first thread to reach a callsite decides
/// whether it is enabled, and a thread without a subscriber disables it for all. These keep more
/// than one alive.
static OTHERS: LazyLock<[Dispatch; 2]> =
    LazyLock::new(|| [(); 2].map(|()| Dispatch::new(Registry::default())));

fn record_by<L>(layer: &L) -> DefaultGuard
where
    L: tracing_subscriber::Layer<Registry> + Clone + Send + Sync,
{
    LazyLock::force(&OTHERS);
    set_default(Registry::default().with(layer.clone()))
}

/// A subscriber that records lines and their spans.
#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<Line>>>);

#[derive(Clone, Debug)]
struct Line {
    level: Level,
    target: &'static str,
    message: String,
    span: Option<&'static str>,
}

impl Record {
    /// Returns the lines of the crate.
    fn lines(&self) -> Vec<Line> {
        let lines = self.0.lock().unwrap();
        lines.iter().filter(|line| line.target.starts_with("tower_sse")).cloned().collect()
    }
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> tracing_subscriber::Layer<S> for Record {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        struct Message(String);
        impl Visit for Message {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }

        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().unwrap().push(Line {
            level: *event.metadata().level(),
            target: event.metadata().target(),
            message: message.0,
            span: context.event_span(event).map(|span| span.name()),
        });
    }
}

fn current_span() -> Option<&'static str> {
    Span::current().metadata().map(tracing::Metadata::name)
}

/// The spans in which closures were called.
type Spans = Arc<Mutex<Vec<Option<&'static str>>>>;

fn noting_spans<M>(layer: SseLayer<M>) -> (SseLayer<M>, Spans) {
    let spans = Spans::default();
    let (opens, closes) = (Arc::clone(&spans), Arc::clone(&spans));
    let layer = layer
        .on_open(move || opens.lock().unwrap().push(current_span()))
        .on_close(move |_| closes.lock().unwrap().push(current_span()));
    (layer, spans)
}

async fn logs_the_close_at_debug_on_every_exit_path<K: Kind>() {
    for exit in ExitPath::ALL {
        let record = Record::default();
        let guard = record_by(&record);
        exit.go::<K>(&SseLayer::new()).await;
        drop(guard);
        let lines = record.lines();
        assert!(lines.iter().all(|line| line.level == Level::DEBUG), "{exit:?}: {lines:?}");
        let closes = lines.iter().filter(|line| line.message.contains("closed")).count();
        assert_eq!(closes, usize::from(exit.reason::<K>().is_some()), "{exit:?}: {lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_logged_above_debug_on_any_exit_path() {
    logs_the_close_at_debug_on_every_exit_path::<Bodies>().await;
    logs_the_close_at_debug_on_every_exit_path::<Responses>().await;
    logs_the_close_at_debug_on_every_exit_path::<Streams>().await;
}

/// Asserts that the close is in the request's span, although the body is dropped in another one.
fn closes_in_the_requests_span<K: Kind>() {
    let record = Record::default();
    let _guard = record_by(&record);
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
    {
        let elsewhere = info_span!("elsewhere").entered();
        drop(response);
        assert_eq!(current_span(), Some("elsewhere"));
        drop(elsewhere);
    }

    let lines = record.lines();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((line.level, line.span), (Level::DEBUG, Some("the request")), "{line:?}");
    assert!(line.message.contains("closed"), "{line:?}");
    let request = Some("the request");
    assert_eq!(*spans.lock().unwrap(), [request, request]);
    assert_eq!(reports.closed().len(), 1);
}

#[test]
fn the_close_and_the_closures_are_in_the_requests_span() {
    closes_in_the_requests_span::<Bodies>();
    closes_in_the_requests_span::<Responses>();
    closes_in_the_requests_span::<Streams>();
}

/// The request of a bare stream is known before there is a head.
#[test]
fn a_bare_stream_dropped_before_its_head_closes_in_the_requests_span() {
    let record = Record::default();
    let _guard = record_by(&record);
    let (layer, spans) = noting_spans(SseLayer::new());
    let trace =
        TraceLayer::new_for_http().make_span_with(|_: &Request<String>| info_span!("the request"));
    let service =
        service_fn(|_: Request<String>| std::future::pending::<Result<Events, Infallible>>());
    let mut service = trace.layer(layer.layer(service));
    assert!(service.call(Request::new(String::new())).now_or_never().is_none());
    let request = Some("the request");
    assert_eq!(*spans.lock().unwrap(), [request, request]);
    assert_eq!(record.lines()[0].span, request);
}

/// A stream that ends while it is polled ends in the span in which the server polls, but is
/// reported in the request's span.
#[tokio::test]
async fn a_stream_that_ends_by_itself_closes_in_the_requests_span() {
    let error = std::io::Error::other(cancelled_task().await);
    let record = Record::default();
    let _guard = record_by(&record);
    let (layer, spans) = noting_spans(SseLayer::<marker::Events>::new());
    let (source, events) = Source::new();
    let mut events = Some(events);
    let mut service = layer.layer(service_fn(|_: Request<()>| {
        std::future::ready(Ok::<_, Infallible>(events.take().unwrap()))
    }));
    let request = info_span!("the request");
    let event_source = Request::get("/")
        .header("accept", "text/event-stream")
        .header("cache-control", "no-cache")
        .body(())
        .unwrap();
    let future = request.in_scope(|| service.call(event_source));
    let Ok(response) = request.in_scope(|| future.now_or_never()).unwrap();
    drop(request);
    let mut body = response.into_body();
    source.fail(error);
    let polled = info_span!("the connection").in_scope(|| poll_frame(&mut body));
    assert_eq!(polled, Polled::End);

    let spans_of: Vec<_> = record.lines().iter().map(|line| line.span).collect();
    assert_eq!(spans_of.last(), Some(&Some("the request")), "{:?}", record.lines());
    assert_eq!(*spans.lock().unwrap(), [Some("the request"); 2]);
    drop(body);
    assert_eq!(record.lines().len(), spans_of.len(), "it closes once");
}

/// A span that is kept for the close must not outlive it, or it would never be exported.
#[test]
fn the_span_is_released_with_the_body() {
    #[derive(Clone, Default)]
    struct Closed(Arc<Mutex<Vec<&'static str>>>);
    impl<S: Subscriber + for<'s> LookupSpan<'s>> tracing_subscriber::Layer<S> for Closed {
        fn on_close(&self, id: tracing::Id, context: Context<'_, S>) {
            self.0.lock().unwrap().push(context.span(&id).unwrap().name());
        }
    }

    let closed = Closed::default();
    let _guard = record_by(&closed);
    let layer = SseLayer::<marker::Http>::new();
    let body = info_span!("the request").in_scope(|| open::<Bodies>(&layer)).unwrap();
    assert_eq!(*closed.0.lock().unwrap(), [""; 0]);
    drop(body);
    assert_eq!(*closed.0.lock().unwrap(), ["the request"]);
}
