//! A model test of what happens before and after an early head: a reply, a log-out, a shutdown, or
//! a client that leaves. The client must receive what the documentation says.

use proptest::prelude::{Strategy, any, proptest};
use proptest::sample::select;

use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Reply {
    Events,
    FailingEvents,
    Error,
    NoContent,
    Panic,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    None,
    Leave,
    Shutdown,
    Close,
}

#[derive(Clone, Copy, Debug)]
struct Scene {
    reply: Reply,
    reply_at: u64,
    fate: Fate,
    fate_at: u64,
    is_post: bool,
    has_late_event: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Received {
    Status(u16),
    Whole,
    LateEvent,
    /// A clean end without a terminator, after which an `EventSource` reconnects.
    Reconnects,
    Fails,
    Panics,
    Left,
}

fn scenes() -> impl Strategy<Value = Scene> {
    use Reply::*;

    let reply = select(vec![Events, FailingEvents, Error, NoContent, Panic, Never]);
    let fate = select(vec![Fate::None, Fate::Leave, Fate::Shutdown, Fate::Close]);
    // Odd and even seconds, so that no two things happen at the same time.
    let times = (0..20_u64, 0..40_u64);
    (reply, fate, times, any::<bool>(), any::<bool>()).prop_map(
        |(reply, fate, (reply_at, fate_at), is_post, has_late_event)| {
            let (reply_at, fate_at) = (2 * reply_at + 1, 2 * fate_at + 2);
            Scene { reply, reply_at, fate, fate_at, is_post, has_late_event }
        },
    )
}

/// The second at which the head is sent early. Nothing else happens then.
const HEAD: f64 = 10.5;

fn expected(scene: Scene) -> Received {
    let Scene { reply, reply_at, fate, fate_at, is_post, has_late_event } = scene;
    let replies_at = if reply == Reply::Never { f64::INFINITY } else { reply_at as f64 };
    let head_at = replies_at.min(HEAD);
    // A drain gives the stream of a call 30 seconds. They start with the shutdown, but not before
    // the stream's head.
    let cut_at = match fate {
        Fate::None => f64::INFINITY,
        Fate::Shutdown if is_post => head_at.max(fate_at as f64) + 30.0,
        _ => fate_at as f64,
    };
    let is_late = replies_at > HEAD;
    if fate == Fate::Leave && cut_at < replies_at {
        return Received::Left;
    }
    if !is_late {
        match reply {
            Reply::Error => return Received::Status(429),
            Reply::NoContent => return Received::Status(204),
            Reply::Panic => return Received::Panics,
            _ => {}
        }
    }
    // Before the head, a shutdown refuses all streams but those of calls.
    if fate == Fate::Shutdown && (fate_at as f64) < head_at && !is_post {
        return Received::Reconnects;
    }
    let is_cut = cut_at < replies_at || (fate == Fate::Close && (fate_at as f64) < head_at);
    if is_cut {
        return if is_post { Received::Fails } else { Received::Reconnects };
    }
    match reply {
        Reply::Events => Received::Whole,
        Reply::Panic => Received::Panics,
        Reply::Error | Reply::NoContent if has_late_event => Received::LateEvent,
        // An `EventSource` gets the event `interrupted`, and a `204` for its next request.
        Reply::Error | Reply::NoContent if !is_post => Received::Reconnects,
        Reply::FailingEvents | Reply::Error | Reply::NoContent => Received::Fails,
        Reply::Never => unreachable!("a stream that ends"),
    }
}

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

async fn reply(scene: Scene) -> AxumResponse {
    match scene.reply {
        Reply::Never => pending().await,
        _ => sleep(scene.reply_at as u32 * SECOND).await,
    }
    let failing = stream::iter([Ok(Event::from("one")), Err("broken")]);
    match scene.reply {
        Reply::Events => events(),
        Reply::FailingEvents => tower_sse::response(failing).into_response(),
        Reply::Error => StatusCode::TOO_MANY_REQUESTS.into_response(),
        Reply::NoContent => StatusCode::NO_CONTENT.into_response(),
        Reply::Panic => panic!("the handler"),
        Reply::Never => unreachable!(),
    }
}

async fn happen(scene: Scene) -> Received {
    let (running, reports, stats) =
        (Arc::new(AtomicUsize::new(0)), Reports::default(), Stats::new());
    let (streams, shutdown) = (tower_sse::streams::Streams::new(), CancellationToken::new());
    let count = Arc::clone(&running);
    let app = Router::new().fallback(axum::routing::any(async move |subjects: Subjects| {
        count.fetch_add(1, SeqCst);
        let _running = Running(count);
        subjects.add("user");
        reply(scene).await
    }));
    let early = EarlyHeadLayer::new(Duration::from_secs_f64(HEAD)).when(|_| true);
    let early =
        if scene.has_late_event { early.late_event(|_| Some("late".into())) } else { early };
    let layer = reports.observe(SseLayer::new().stats(&stats).streams(&streams));
    let layer = layer.terminator("[DONE]").shutdown(shutdown.clone());
    let app = app.layer(early).layer(layer);

    let client = if scene.is_post { Requester::Post } else { Requester::EventSource };
    let asking = tokio::spawn(async move {
        let response = ask(&app, client).await;
        if response.headers().get("content-type").is_none_or(|it| it != "text/event-stream") {
            return Received::Status(response.status().as_u16());
        }
        let (text, error) = read(response.into_body()).await;
        match error {
            Some(_) => Received::Fails,
            None if text.contains("data: late") => Received::LateEvent,
            None if !text.ends_with("data: [DONE]\n\n") => Received::Reconnects,
            None => {
                assert!(text.contains(EVENTS), "half an answer looks whole: {text}");
                Received::Whole
            }
        }
    });
    let leave = asking.abort_handle();
    let fate = tokio::spawn(async move {
        sleep(scene.fate_at as u32 * SECOND).await;
        match scene.fate {
            Fate::None => {}
            Fate::Leave => leave.abort(),
            Fate::Shutdown => shutdown.cancel(),
            Fate::Close => _ = streams.close("user").await,
        }
    });
    let received = match asking.await {
        Ok(received) => received,
        Err(error) if error.is_panic() => Received::Panics,
        Err(_) => Received::Left,
    };
    _ = fate.await;
    assert_eq!(running.load(SeqCst), 0, "a call is left");
    assert_eq!(stats.snapshot().open, 0, "a stream is left");
    assert_eq!(reports.opened(), reports.closed().len());
    let reasons = reports.take();
    let is_panic = |reason| matches!(reason, CloseReason::Panicked);
    assert!(received != Received::Panics || reasons.into_iter().all(is_panic));
    received
}

proptest! {
    #[test]
    fn client_receives_what_the_rules_say(scene in scenes()) {
        // A stream that never ends has nothing to compare.
        if scene.reply != Reply::Never || scene.fate != Fate::None {
            assert_eq!(under_a_paused_clock(happen(scene)), expected(scene));
        }
    }
}
