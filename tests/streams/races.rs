//! Races of a request's check with a logout, on several threads. The program follows two rules:
//! the logout writes the store before it closes, and the request's check reads the store.

use tower_sse::streams::Streams;

use super::*;
use crate::*;

type Events = stream::Pending<Event>;

/// The number of lengths of a pause: enough that some rounds open the stream and others do not,
/// whichever thread is faster.
const PAUSES: usize = 64;
/// Two rounds for each pair of pauses of the two threads.
const ROUNDS: usize = 2 * PAUSES * PAUSES;

/// The place where a program adds the subjects of a request.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Outside or inside of the layer.
    is_outside: bool,
    /// Before or after the check.
    is_before: bool,
}

struct Store {
    is_logged_in: AtomicBool,
}

impl Store {
    /// Checks a request. Adds its subject before the check if `before` is set, and after the check
    /// otherwise.
    fn check(&self, subjects: &Subjects, before: bool, pause: usize) -> bool {
        if before {
            subjects.add("session:a");
        }
        spin(pause);
        let is_logged_in = self.is_logged_in.load(SeqCst);
        spin(pause);
        if !before {
            subjects.add("session:a");
        }
        is_logged_in
    }
}

fn spin(rounds: usize) {
    for _ in 0..rounds * 16 {
        std::hint::spin_loop();
    }
}

fn request(
    place: Place,
    streams: &Streams,
    layer: &SseLayer,
    store: &Arc<Store>,
    pause: usize,
) -> Response<tower_sse::layer::SseBody<EventBody<Events>>> {
    let answer = |is_allowed: bool| {
        let mut answer = tower_sse::response(stream::pending::<Event>());
        if !is_allowed {
            *answer.status_mut() = StatusCode::NO_CONTENT;
        }
        Ok::<_, Infallible>(answer)
    };
    let checks = Arc::clone(store);
    let mut service = layer.layer(service_fn(move |request: Request<()>| {
        let subjects = request.extensions().get::<Subjects>().expect("the layer has streams");
        ready(answer(match place.is_outside {
            true => request.extensions().get::<bool>().copied().unwrap_or_default(),
            false => checks.check(subjects, place.is_before, pause),
        }))
    }));
    let mut request = Requester::EventSource.request("/");
    if place.is_outside {
        let subjects = streams.subjects_of(&mut request);
        let is_allowed = store.check(&subjects, place.is_before, pause);
        request.extensions_mut().insert(is_allowed);
    }
    service.call(request).now_or_never().expect("ready").unwrap()
}

/// Returns how many requests opened a stream, and how many of these are open after the logout.
fn race(place: Place) -> (usize, usize) {
    let (mut opened, mut left) = (0, 0);
    let start = Barrier::new(2);
    let (rounds, to_client) = mpsc::channel::<(Streams, SseLayer, Arc<Store>, usize)>();
    let (responses, from_client) = mpsc::channel();
    thread::scope(|threads| {
        threads.spawn(|| {
            for (streams, layer, store, pause) in to_client {
                start.wait();
                responses.send(request(place, &streams, &layer, &store, pause)).unwrap();
            }
        });
        for round in 0..ROUNDS {
            let streams = Streams::new();
            let layer = SseLayer::new().streams(&streams);
            let store = Arc::new(Store { is_logged_in: AtomicBool::new(true) });
            rounds.send((streams.clone(), layer, Arc::clone(&store), round % PAUSES)).unwrap();
            start.wait();
            spin(round / PAUSES % PAUSES);
            store.is_logged_in.store(false, SeqCst);
            now(streams.close("session:a"));
            let response = from_client.recv().unwrap();
            if response.status() == StatusCode::OK {
                opened += 1;
                left += usize::from(poll_frame(&mut response.into_body()) != Polled::End);
            }
            assert_eq!(streams.subjects(), []);
        }
        drop(rounds);
    });
    (opened, left)
}

/// The race counts only if it went both ways: some requests open a stream, and others come too
/// late.
#[tokio::test(start_paused = true)]
async fn no_stream_is_left_open_wherever_and_whenever_subjects_are_added() {
    for (is_outside, is_before) in [(true, true), (true, false), (false, true), (false, false)] {
        let place = Place { is_outside, is_before };
        let (opened, left) = race(place);
        assert_eq!(left, 0, "{place:?}: of {opened} opened streams");
        assert!(opened > ROUNDS / 100 && opened < ROUNDS, "{place:?}: {opened} opened");
    }
}
