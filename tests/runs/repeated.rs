//! Clients that reconnect by repeating their `POST`, whose handler starts or replaces the run.

use crate::*;

/// What a handler does with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Handler {
    Starts,
    Replaces,
}

impl Handler {
    pub(crate) const ALL: [Self; 2] = [Self::Starts, Self::Replaces];

    /// Passes a request through a handler whose runs have the events of `source`.
    pub(crate) async fn ask<S>(
        self,
        rig: &Rig,
        request: Request<()>,
        source: impl FnOnce() -> S,
    ) -> Client
    where
        S: Stream<Item = Event> + Send + 'static,
    {
        let key = key(&request).unwrap().unwrap();
        let (parts, ()) = request.into_parts();
        let run = match self {
            Self::Starts => rig.runs.start(&key, &parts, source).await,
            Self::Replaces => rig.runs.replace(&key, &parts, source).await,
        };
        let answer = match run {
            Ok(run) => run.answer(&parts).await,
            Err(error) => error.answer(&parts),
        };
        let answer = answer.map(BodyExt::boxed_unsync);
        Client::new(rig.pass(Request::from_parts(parts, ()), answer).await)
    }

    /// Repeats a request with an id, which calls no source.
    pub(crate) async fn repeat(self, rig: &Rig, request: Request<()>) -> Client {
        self.ask(rig, request, || -> stream::Pending<Event> { panic!("the source was called") })
            .await
    }
}

fn two_events() -> impl Stream<Item = Event> + Send + 'static {
    stream::iter(["a", "b"].map(Event::from)).chain(stream::pending())
}

/// The id of another event of the run that has assigned `id`.
fn sibling(id: &str, sequence: u64) -> String {
    let (epoch, _) = id.split_once('-').unwrap();
    format!("{epoch}-{sequence}")
}

#[tokio::test(start_paused = true)]
async fn repeated_post_with_the_id_continues_the_run() {
    for handler in Handler::ALL {
        let rig = Rig::new(Runs::new());
        let mut first = handler.ask(&rig, post(), two_events).await;
        assert_eq!(first.read().await, ["a", "b"]);
        let request = after(&sibling(&first.last, 1), post());
        let mut again = handler.repeat(&rig, request).await;
        assert_eq!((again.status.as_u16(), again.read().await), (200, vec!["b".to_owned()]));
        assert_eq!((first.read().await, first.end), (vec![], None), "{handler:?}");
        assert_eq!((rig.runs.stats().started, rig.runs.stats().running), (1, 1));
    }
}

/// The id is of the turn before, so the client waits for an answer that is no longer there.
#[tokio::test(start_paused = true)]
async fn repeated_post_of_an_earlier_turn_leaves_the_current_one_alone() {
    let rig = Rig::new(Runs::new());
    let mut earlier = Handler::Replaces.ask(&rig, post(), two_events).await;
    assert_eq!(earlier.read().await, ["a", "b"]);
    let mut current = Handler::Replaces.ask(&rig, post(), two_events).await;
    assert_eq!((earlier.read().await, earlier.end), (vec![], Some(End::Clean)));
    for handler in Handler::ALL {
        let stale = handler.repeat(&rig, after(&earlier.last, post())).await;
        assert_eq!(stale.status, 404, "{handler:?}");
    }
    assert_eq!((current.read().await, current.end), (vec!["a".into(), "b".into()], None));
    assert_eq!(rig.runs.stats().ended(Outcome::Cancelled), 1);
}

#[tokio::test(start_paused = true)]
async fn id_of_a_process_before_starts_nothing() {
    let runs = Runs::builder().max_running(1).build();
    let (parts, ()) = after("4fzo8gk0o2yl-1", post()).into_parts();
    let source = || -> stream::Pending<Event> { panic!("the source was called") };
    assert_eq!(runs.start(&turn(), &parts, source).await.unwrap_err(), StartError::NotFound);
    assert_eq!(runs.replace(&turn(), &parts, source).await.unwrap_err(), StartError::NotFound);
    // Neither a limit nor a shutdown makes it a refusal, after which the client would ask again.
    let other = RunKey::new("ann", "/other").unwrap();
    _ = runs.start(&other, None, two_events).await.unwrap();
    assert_eq!(runs.start(&turn(), &parts, source).await.unwrap_err(), StartError::NotFound);
    runs.drain(std::time::Duration::ZERO).await;
    assert_eq!(runs.replace(&turn(), &parts, source).await.unwrap_err(), StartError::NotFound);
    assert_eq!((runs.stats().started, runs.stats().refused), (1, 0));
}

/// An outer layer has read it in the query.
#[tokio::test(start_paused = true)]
async fn id_in_the_extensions_counts_and_an_empty_one_does_not() {
    let rig = Rig::new(Runs::new());
    let mut first = Handler::Replaces.ask(&rig, post(), two_events).await;
    assert_eq!(first.read().await, ["a", "b"]);
    let mut request = post();
    let id = LastEventId::try_from(sibling(&first.last, 1)).unwrap();
    request.extensions_mut().insert(id);
    assert_eq!(Handler::Replaces.repeat(&rig, request).await.read().await, ["b"]);
    let request = after("", crate::rig::by(Requester::Get));
    let mut anew = Handler::Replaces.ask(&rig, request, two_events).await;
    assert_eq!(anew.read().await, ["a", "b"]);
    settle().await;
    assert_eq!((first.read().await, first.end), (vec![], Some(End::Clean)));
}
