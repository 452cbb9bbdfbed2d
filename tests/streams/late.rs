//! Subjects that are added to a stream that is open.

use std::task::Wake;

use tower_sse::{early_head::EarlyHeadLayer, streams::Streams};

use super::rig::{self, now, open};
use crate::{rig::*, *};

/// Opens a stream with these subjects. Returns the stream, and the handle that adds subjects to it.
fn open_kept(streams: &Streams, subjects: &[&'static str]) -> (Rig, Subjects) {
    let mut request = Requester::EventSource.request("/");
    let kept = streams.subjects_of(&mut request);
    subjects.iter().for_each(|subject| _ = kept.add(*subject));
    (Rig::fed(rig::layer(streams), request).begin(b""), kept)
}

#[tokio::test(start_paused = true)]
async fn subject_enters_an_open_stream() {
    for early in [&[][..], &["a"], &["a", "b"]] {
        for closes in [
            (|streams| now(streams.close("late"))) as fn(&Streams) -> usize,
            |streams| now(streams.close_except("late", "other")),
            |streams| streams.close_all(),
        ] {
            let streams = Streams::new();
            let (mut stream, subjects) = open_kept(&streams, early);
            for _ in 0..2 {
                assert!(subjects.add("late"));
            }
            assert_eq!((streams.count("late"), streams.subjects().len()), (1, early.len() + 1));
            assert_eq!(stream.poll(), Polled::Pending);
            assert_eq!(closes(&streams), 1);
            while stream.poll() != Polled::End {}
            assert_eq!(streams.subjects(), []);
        }
        let streams = Streams::new();
        let (stream, subjects) = open_kept(&streams, early);
        subjects.add("late");
        drop(stream);
        assert_eq!(streams.subjects(), [], "it leaves with its stream");
        subjects.add("later");
        assert_eq!(streams.subjects(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn subject_that_is_kept_spares_an_open_stream() {
    let streams = Streams::new();
    let (mut stream, subjects) = open_kept(&streams, &["user:1"]);
    subjects.add("session:a");
    assert_eq!(now(streams.close_except("user:1", "session:a")), 0);
    assert_eq!(stream.poll(), Polled::Pending);
}

/// The subject's streams were closed for other clients, perhaps long before this client gets the
/// subject.
#[tokio::test(start_paused = true)]
async fn close_before_the_subject_is_added_does_not_end_an_answered_stream() {
    let streams = Streams::new();
    let (mut stream, subjects) = open_kept(&streams, &["user:1"]);
    now(streams.close("room:7"));
    subjects.add("room:7");
    assert_eq!((stream.poll(), streams.count("room:7")), (Polled::Pending, 1));
    assert_eq!((now(streams.close("room:7")), stream.poll()), (1, Polled::End));
}

/// The handler may have checked the user before the close, so its stream must not stay open.
#[tokio::test(start_paused = true)]
async fn close_since_arrival_ends_a_stream_that_is_not_answered() {
    for (adds, closes, answers) in [(2, 1, 3), (1, 2, 3), (1, 3, 2), (3, 1, 2), (3, 2, 1)] {
        let _case = case(format!("added at {adds}, closed at {closes}, answered at {answers}"));
        let streams = Streams::new();
        let service = service_fn(move |request: Request<()>| async move {
            let subjects = request.extensions().get::<Subjects>().unwrap().clone();
            tokio::spawn(async move {
                sleep(adds * SECOND).await;
                subjects.add("user:1");
            });
            sleep(answers * SECOND).await;
            Ok::<_, Infallible>(tower_sse::response(stream::pending::<Event>()))
        });
        let early = EarlyHeadLayer::new(Duration::ZERO).when(|_| true).layer(service);
        let mut app = SseLayer::new().without_heartbeat().streams(&streams).layer(early);
        let mut body = app.call(Requester::Get.request("/")).await.unwrap().into_body();
        assert_eq!(poll_frame(&mut body), data(": \n"));
        for second in 1..=3 {
            sleep(SECOND).await;
            _ = poll_frame(&mut body);
            if second == closes {
                now(streams.close("user:1"));
            }
        }
        let ends = adds < answers || adds < closes;
        sleep(SECOND).await;
        assert_eq!(poll_frame(&mut body) == Polled::End, ends);
    }
}

#[tokio::test(start_paused = true)]
async fn kept_subject_spares_an_unanswered_stream_if_added_first() {
    for (added, is_closed) in [(["session:a", "user:1"], false), (["user:1", "session:a"], true)] {
        let streams = Streams::new();
        let service = service_fn(move |request: Request<()>| async move {
            sleep(2 * SECOND).await;
            for subject in added {
                request.extensions().get::<Subjects>().unwrap().add(subject);
            }
            pending::<Result<Response<FedBody>, Infallible>>().await
        });
        let early = EarlyHeadLayer::new(Duration::ZERO).when(|_| true).layer(service);
        let mut app = SseLayer::new().without_heartbeat().streams(&streams).layer(early);
        let mut body = app.call(Requester::Get.request("/")).await.unwrap().into_body();
        assert_eq!(poll_frame(&mut body), data(": \n"));
        idle(&mut body, SECOND).await;
        assert_eq!(now(streams.close_except("user:1", "session:a")), 0);
        idle(&mut body, 2 * SECOND).await;
        assert_eq!(poll_frame(&mut body) == Polled::End, is_closed, "{added:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn place_of_a_late_subject_is_free_when_the_close_is_reported() {
    let streams = Streams::builder().limit("user:", 1).build();
    let (others, is_free) = (streams.clone(), Arc::new(AtomicBool::new(false)));
    let found = Arc::clone(&is_free);
    let layer = SseLayer::new().streams(&streams).on_close(move |_| {
        found.store(others.subjects_of(&mut Request::new(())).add("user:1"), SeqCst);
    });
    let mut request = Requester::EventSource.request("/");
    let kept = streams.subjects_of(&mut request);
    let stream = Rig::fed(layer, request);
    kept.add("user:1");
    drop(stream);
    assert!(is_free.load(SeqCst));
}

#[tokio::test(start_paused = true)]
async fn refused_stream_stays_refused_when_a_place_becomes_free() {
    let streams = Streams::builder().limit("room:", 1).build();
    let other = open(&streams, &["room:1"]);
    let (mut stream, subjects) = open_kept(&streams, &["user:1"]);
    assert!(!subjects.add("room:1"));
    drop(other);
    assert!(!subjects.add("room:1") && !subjects.add("room:2") && !subjects.add("user:2"));
    while stream.poll() != Polled::End {}
    drop(stream);
    assert!(!subjects.add("room:1"));
    assert_eq!(streams.subjects(), []);
    assert!(open(&streams, &["room:1"]).poll() == Polled::Pending, "nothing holds the place");
}

#[tokio::test(start_paused = true)]
async fn stream_that_late_subjects_end_counts_once() {
    let streams = Streams::builder().limit("room:", 1).build();
    let _other = open(&streams, &["room:1", "room:2"]);
    let (_stream, subjects) = open_kept(&streams, &[]);
    let (_closed, of_closed) = open_kept(&streams, &["user:1"]);
    now(streams.close("user:1"));
    for subject in ["room:1", "room:1", "room:2"] {
        assert!(!subjects.add(subject) && !of_closed.add(subject));
    }
    assert_eq!(streams.stats().refused_by_prefix, [("room:".into(), 1)]);
}

/// The waker runs within the first call, as another thread could.
#[test]
fn subject_without_a_place_has_none_in_a_simultaneous_call() {
    struct Adds(Subjects, mpsc::Sender<bool>);

    impl Wake for Adds {
        fn wake(self: Arc<Self>) {
            _ = self.1.send(self.0.add("room:1"));
        }
    }

    let streams = Streams::builder().limit("room:", 1).build();
    let _other = open(&streams, &["room:1"]);
    let mut request = Requester::Fetch.request("/");
    let subjects = streams.subjects_of(&mut request);
    let layer = SseLayer::new().without_heartbeat().streams(&streams);
    let mut body = answer_to(request, &layer, event_stream(Feed::new().1)).into_body();
    let (sender, second) = mpsc::channel();
    let waker = Waker::from(Arc::new(Adds(subjects.clone(), sender)));
    _ = pin!(body.frame()).poll(&mut Context::from_waker(&waker));
    assert!(!subjects.add("room:1"));
    assert_eq!(second.try_recv(), Ok(false));
}

/// Wakers are code of the program, so none is called with a lock held.
#[test]
fn waker_can_list_subjects_when_a_late_one_has_no_place() {
    struct Lists(Streams, Subjects, mpsc::Sender<String>);

    impl Wake for Lists {
        fn wake(self: Arc<Self>) {
            _ = self.2.send(format!("{:?} {:?}", self.0.subjects(), self.1));
        }
    }

    let (sender, read) = mpsc::channel();
    thread::spawn(move || {
        let streams = Streams::builder().limit("user:", 1).build();
        let mut request = Requester::Fetch.request("/");
        let subjects = streams.subjects_of(&mut request);
        let layer = SseLayer::new().without_heartbeat().streams(&streams);
        let _other = open(&streams, &["user:1"]);
        let mut body = answer_to(request, &layer, event_stream(Feed::new().1)).into_body();
        let waker = Waker::from(Arc::new(Lists(streams, subjects.clone(), sender)));
        _ = pin!(body.frame()).poll(&mut Context::from_waker(&waker));
        subjects.add("user:1");
    });
    let expected = r#"[("user:1", 1)] {}"#;
    assert_eq!(read.recv_timeout(PATIENCE).expect("a wake, and no deadlock"), expected);
}
