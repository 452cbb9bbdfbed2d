//! The handler's options reach each client, however and whenever its process learns of the run.

use std::sync::mpsc::{Sender, channel};
use std::thread;

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::{Full, combinators::UnsyncBoxBody};
use tower_sse::{BoxError, SseLayer, runs::Runs};

use super::*;

/// The time of each store call. Each request looks up a run, subscribes to it, checks it and loads
/// it.
const DELAY: Duration = Duration::from_millis(100);

fn options() -> StreamOptions {
    StreamOptions::new().terminator("[DONE]").retry(Duration::from_secs(7))
}

/// Creates two processes, and starts a run of the first one with the handler's options and four
/// events. With `is_trimmed`, the store has only the newest two events.
async fn recorded(is_trimmed: bool) -> (Process, Process, Source) {
    let bytes = if is_trimmed { 2_500 } else { 1 << 20 };
    let (one, other) = two_with(|builder| builder.retain_bytes(bytes)).await;
    let (source, stream) = source();
    _ = post(&one, events(stream, options())).await;
    for _ in 0..4 {
        send(&source, &["x".repeat(1_000).as_str()]);
        sleep(Duration::from_secs(2)).await;
    }
    sleep(LEASE).await;
    // A trim also removes the entry with the head.
    let stored = one.store.stream("XLEN", &one.run(), &[]);
    assert_eq!(stored, if is_trimmed { ":2" } else { ":5" });
    (one, other, source)
}

fn assert_has_options(answer: &Response<SseBody>, case: &str) {
    assert_eq!(answer.status(), StatusCode::OK, "{case}");
    let received = answer.extensions().get::<StreamOptions>();
    assert_eq!(format!("{received:?}"), format!("{:?}", Some(options())), "{case}");
}

/// Asserts that the rest of a run comes with the options. The run is completed, cancelled or
/// replaced `moment` milliseconds into the request or, with `None`, long before it.
async fn assert_options_come(end: &str, is_trimmed: bool, seen: Option<u64>, moment: Option<u64>) {
    let (one, other, source) = recorded(is_trimmed).await;
    let last = seen.map(|seen| one.id(seen));
    let ending = async {
        sleep(Duration::from_millis(moment.unwrap_or(0))).await;
        match end {
            "completed" => drop(source),
            "cancelled" => assert!(one.cancel().await),
            "replaced" => drop(one.replace().await),
            other => panic!("{other}"),
        }
    };
    let answer = if moment.is_none() {
        ending.await;
        sleep(Duration::from_secs(5)).await;
        other.answer(last.as_ref()).await
    } else {
        other.store.faults().delay = DELAY;
        join(other.answer(last.as_ref()), ending).await.0
    };
    assert_has_options(&answer, &format!("{end}, trimmed: {is_trimmed}, {seen:?}, {moment:?}"));
}

#[tokio::test(start_paused = true)]
async fn handlers_options_come_with_the_rest_of_a_run_whenever_it_ends() {
    for end in ["completed", "cancelled", "replaced"] {
        for moment in [None, Some(50), Some(150), Some(250), Some(350), Some(450)] {
            // The request's look would find the new run in place of the replaced one.
            if end == "replaced" && moment.is_none_or(|moment| moment < 100) {
                continue;
            }
            for seen in [None, Some(0), Some(2), Some(4)] {
                assert_options_come(end, false, seen, moment).await;
            }
            for seen in [Some(2), Some(4)] {
                assert_options_come(end, true, seen, moment).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn handlers_options_come_although_a_reply_is_lost() {
    for seen in [None, Some(2)] {
        let (one, other, _source) = recorded(seen.is_some()).await;
        let last = seen.map(|seen| one.id(seen));
        other.store.faults().delay = DELAY;
        let losing = after(Duration::from_millis(250), || other.store.faults().lost_replies = 1);
        let (answer, ()) = tokio::join!(other.answer(last.as_ref()), losing);
        assert_eq!(other.store.faults().lost_replies, 0);
        if answer.status() != StatusCode::SERVICE_UNAVAILABLE {
            assert_has_options(&answer, "the reply to the check is lost");
        }
        drop(answer);
        assert_has_options(&other.answer(last.as_ref()).await, "the next request");
    }
}

type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Sends a `POST` to the layers of a process, whose service gives `answer`.
async fn post(process: &Process, answer: Response<Body>) -> Response<Body> {
    post_to(process, KEY.clone(), answer).await
}

async fn post_to(process: &Process, key: RunKey, answer: Response<Body>) -> Response<Body> {
    let answer = Arc::new(Mutex::new(Some(answer)));
    let service = service_fn(move |_: Request<()>| {
        let answer = Arc::clone(&answer);
        async move {
            sleep(Duration::from_millis(500)).await;
            Ok::<_, Infallible>(answer.lock().unwrap().take().expect("one call"))
        }
    });
    let service = process.runs.layer(move |_: &Request<()>| Some(Ok(key.clone()))).layer(service);
    let service = SseLayer::new().layer(service);
    let response = service.oneshot(Request::post("/").body(()).unwrap()).await.unwrap();
    response.map(BodyExt::boxed_unsync)
}

fn events(
    stream: impl Stream<Item = Result<Event, &'static str>> + Send + 'static,
    options: StreamOptions,
) -> Response<Body> {
    let mut response =
        tower_sse::response(stream).map(|body| body.map_err(Into::into).boxed_unsync());
    response.extensions_mut().insert(options);
    response
}

fn json() -> Response<Body> {
    let body = Full::from("{}").map_err(|never| match never {}).boxed_unsync();
    Response::builder().header("content-type", "application/json").body(body).unwrap()
}

#[tokio::test(start_paused = true)]
async fn answer_without_a_stream_frees_the_key_for_requests_elsewhere() {
    for loses_pushes in [false, true] {
        let (one, other) = two().await;
        other.store.faults().loses_pushes = loses_pushes;
        let (first, second) = tokio::join!(soon(post(&one, json())), async {
            sleep(Duration::from_millis(100)).await;
            let event = stream::iter([Ok(Event::from("a"))]);
            soon(post(&other, events(event, StreamOptions::new()))).await
        });
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(text(first).await, "{}");
        assert!(text(second).await.contains("data: a\n"));
    }
}

/// Asks for figures in another thread when it is dropped, passes on whether it gets them, and
/// panics.
struct Gauge(Runs, Sender<bool>);

impl Drop for Gauge {
    fn drop(&mut self) {
        let ((asked, answer), runs) = (channel(), self.0.clone());
        thread::spawn(move || asked.send(runs.stats().running));
        _ = self.1.send(answer.recv_timeout(Duration::from_secs(10)).is_ok());
        panic!("the drop panics");
    }
}

/// The program's closures are dropped with the two runs, which are forgotten at about the same
/// time.
#[tokio::test(start_paused = true)]
async fn options_of_forgotten_runs_are_dropped_one_by_one_outside_of_locks() {
    let (one, _other) = two().await;
    let ((dropped, is_answered), mut sources) = (channel(), Vec::new());
    for n in [1, 2] {
        let ((source, stream), gauge) = (source(), Gauge(one.runs.clone(), dropped.clone()));
        sources.push(source);
        let options = StreamOptions::new().on_error(move |_| {
            _ = &gauge;
            Event::from("error")
        });
        drop(soon(post_to(&one, key_of(n), events(stream, options))).await);
    }
    sleep(Duration::from_secs(2)).await;
    let [first, second] = [1, 2].map(key_of);
    let next = || stream::pending::<Event>();
    let replacing = async |key| drop(one.runs.replace(key, None, next).await.unwrap());
    tokio::join!(replacing(&first), replacing(&second));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(is_answered.try_iter().collect::<Vec<_>>(), [true; 2]);
}

/// The stream ends before the store has its head, or later.
#[tokio::test(start_paused = true)]
async fn options_of_a_stream_without_events_apply_in_all_processes() {
    for ends_at_once in [true, false] {
        let (one, other) = two().await;
        let (source, stream) = source();
        let source = (!ends_at_once).then_some(source);
        let answer = soon(post(&one, events(stream, options()))).await;
        sleep(Duration::from_secs(1)).await;
        drop((source, answer));
        sleep(Duration::from_secs(1)).await;
        for process in [&one, &other] {
            let again = text(soon(post(process, json())).await).await;
            assert!(again.ends_with("data: [DONE]\n\n"), "{again}");
        }
    }
}

/// The server has an earlier state of the claim, or another program has changed it.
#[tokio::test(start_paused = true)]
async fn request_is_refused_if_a_claim_contradicts_the_end_of_its_run() {
    // Without a mirror, the process would run a check, which corrects the claim `running`.
    for (state, is_read) in [("running", true), ("completed", true), ("completed", false)] {
        let (one, other, _source, client) = watched(&["a"]).await;
        let _client = is_read.then_some(client);
        assert!(other.cancel().await);
        sleep(Duration::from_secs(1)).await;
        one.store.claim("HSET", &KEY, &["s", state]);
        let looks = other.store.count("look");
        other.store.faults().delay = Duration::from_millis(1);
        let status = soon(post(&other, json())).await.status();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{state}, {is_read}");
        assert_eq!(other.store.count("look"), looks + 2, "{state}, {is_read}");
    }
}
