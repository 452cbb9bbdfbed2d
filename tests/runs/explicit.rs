//! The interface for handlers: start, replace, answer, cancel.

use crate::*;

fn endless() -> impl Stream<Item = Event> + Send + 'static {
    stream::pending()
}

async fn read(run: &Run, last: Option<LastEventId>) -> (Vec<String>, Option<Outcome>) {
    let mut attachment = run.attach(last).await.expect("an attachment");
    let mut text = Vec::new();
    while let Some(item) = attachment.next().await {
        match item {
            Ok(events) => text.extend(data_of(&events).map(str::to_owned)),
            Err(error) => return (text, error.outcome()),
        }
    }
    (text, None)
}

/// A client that repeats its request, such as System.ClientModel, keeps the URL and adds the header.
/// The lines are those of `docs/guide/runs_clients.md`.
#[tokio::test(start_paused = true)]
async fn id_in_the_header_goes_before_the_number_in_the_url() {
    let runs = Runs::new();
    let events = || stream::iter(["a", "b", "c"].map(Event::from));
    let run = runs.start(&turn(), None, events).await.unwrap();
    assert_eq!(run.ended().await, Some(Outcome::Completed));
    let resume = async |after: u64, mut parts: Parts| {
        if LastEventId::from_headers(&parts.headers).is_none() {
            parts.extensions.insert(run.event_id(after.saturating_add(1)));
        }
        let body = run.answer(&parts).await.into_body().collect().await.unwrap().to_bytes();
        data_of_text(str::from_utf8(&body).unwrap())
    };
    let request = || by(Requester::Library);
    let second = run.event_id(2);
    assert_eq!(resume(0, request().into_parts().0).await, ["b", "c"]);
    assert_eq!(resume(0, after(second.as_str(), request()).into_parts().0).await, ["c"]);
    let page = include_str!("../../docs/guide/runs_clients.md");
    assert!(page.contains("    if LastEventId::from_headers(&parts.headers).is_none() {\n"));
}

fn data_of_text(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn number_of_an_event_resumes_behind_it() {
    let runs = Runs::new();
    let events = || stream::iter(["a", "b", "c"].map(Event::from));
    let run = runs.start(&turn(), None, events).await.unwrap();
    assert_eq!(run.ended().await, Some(Outcome::Completed));
    let same = runs.get(&turn()).await.unwrap();
    for (n, rest) in [(0, &["a", "b", "c"][..]), (1, &["b", "c"]), (3, &[])] {
        assert_eq!(same.event_id(n), run.event_id(n));
        assert_eq!(read(&same, Some(run.event_id(n))).await.0, rest, "{n}");
    }
    assert!(run.attach(run.event_id(4)).await.is_none(), "it does not exist");
    let messages = run.messages().unwrap();
    assert_eq!(messages[1].last_event_id, run.event_id(2).as_str().into());
    // A run that is starting has no event yet.
    let other = RunKey::new("ann", "/other").unwrap();
    let (begin, begun) = oneshot::channel::<()>();
    let (starting, parts) = (runs.clone(), post().into_parts().0);
    let call = async || {
        _ = begun.await;
        Ok::<_, Infallible>(stream::iter([Event::from("a")]))
    };
    let name = other.clone();
    let start = tokio::spawn(async move { starting.start_with(&name, &parts, call).await.is_ok() });
    settle().await;
    let early = runs.get(&other).await.unwrap();
    let attach = tokio::spawn(async move { read(&early, Some(early.event_id(0))).await.0 });
    settle().await;
    begin.send(()).unwrap();
    assert_eq!(attach.await.unwrap(), ["a"]);
    assert!(start.await.unwrap());
    // The replacement is another run, whose ids differ.
    let again = runs.replace(&turn(), None, endless).await.unwrap();
    assert_ne!(again.event_id(1), run.event_id(1));
    assert!(again.attach(run.event_id(1)).await.is_none());
}

/// The call that `start` waits for may return no event stream. Then `start` starts a run of its
/// own.
#[tokio::test(start_paused = true)]
async fn start_waits_for_a_call_and_starts_if_that_is_no_run() {
    let rig = Rig::new(Runs::new());
    let first = rig.call(post()).await;
    let starting = tokio::spawn({
        let runs = rig.runs.clone();
        async move { runs.start(&turn(), None, || stream::iter([Event::from("mine")])).await.unwrap() }
    });
    settle().await;
    assert!(!starting.is_finished());
    rig.handler.json();
    assert_eq!(first.answer().await.headers()["content-type"], "application/json");
    let run = starting.await.unwrap();
    assert_eq!(read(&run, None).await, (vec!["mine".into()], None));
}

#[tokio::test(start_paused = true)]
async fn starts_are_limited_in_all_and_for_each_owner() {
    let key = |owner, n: usize| RunKey::new(owner, n.to_string()).unwrap();
    let runs = Runs::builder().max_running(5).max_running_per_owner(3).build();
    for n in 0..3 {
        _ = runs.start(&key("ann", n), None, endless).await.unwrap();
    }
    assert_eq!(runs.start(&key("ann", 3), None, endless).await.unwrap_err(), StartError::OwnerFull);
    let error = runs.replace(&key("ann", 3), None, endless).await.unwrap_err();
    assert_eq!(error, StartError::OwnerFull);
    _ = runs.replace(&key("ann", 0), None, endless).await.expect("it takes the place of another");
    _ = runs.start(&key("bob", 0), None, endless).await.unwrap();
    let shared = |n: usize| RunKey::shared(n.to_string()).unwrap();
    _ = runs.start(&shared(0), None, endless).await.unwrap();
    assert_eq!(runs.start(&shared(1), None, endless).await.unwrap_err(), StartError::Full);
    _ = runs.start(&shared(0), None, endless).await.expect("it is there already");
    _ = runs.replace(&shared(0), None, endless).await.expect("it takes the place of another");
    assert!(runs.cancel(&key("ann", 1), None).await);
    _ = runs.start(&key("ann", 3), None, endless).await.unwrap();
    assert_eq!(runs.stats().running, 5);
    assert_eq!(runs.stats().refused, 3);
}

#[tokio::test(start_paused = true)]
async fn answer_of_a_handler_takes_options_and_is_refused_like_any_other() {
    let mut rig = Rig::new(Runs::new());
    rig.layer = SseLayer::new().max_streams(1);
    for is_own in [true, false] {
        let key = RunKey::new("ann", format!("/{is_own}")).unwrap();
        let run = rig.runs.start(&key, None, endless).await.unwrap();
        let run = if is_own { run } else { rig.runs.get(&key).await.unwrap() };
        let (parts, ()) = post().into_parts();
        let pass = async |answer: http::Response<SseBody>| {
            let answer = answer.map(http_body_util::BodyExt::boxed_unsync);
            rig.pass(post(), answer).await
        };
        // This answer is not refused, so the run goes on when its client leaves.
        drop(pass(run.answer(&parts).await).await);
        assert_eq!(run.outcome(), None);
        let other = rig.runs.start(&turn(), None, endless).await.unwrap();
        let _open = pass(other.answer(&parts).await).await;
        let refused = pass(run.answer(&parts).await).await;
        assert_eq!(refused.status(), 503);
        assert_eq!(run.outcome(), is_own.then_some(Outcome::Cancelled));
    }
}
