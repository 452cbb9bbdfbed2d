//! Random steps of many streams and subjects, against naive lists.

use std::collections::BTreeMap;

use tower_sse::{layer::SseBody, streams::Streams};

use super::*;
use crate::*;

/// The number of streams that each subject may have.
const LIMIT: usize = 3;

struct Open {
    subjects: Vec<usize>,
    body: SseBody<FedBody>,
    _feed: Feed,
    wakes: Arc<Wakes>,
}

struct World {
    random: fastrand::Rng,
    subjects: usize,
    streams: Streams,
    layer: SseLayer,
    open: Vec<Open>,
    /// Streams that were closed, and whose clients don't read.
    closed: Vec<Open>,
}

fn count(streams: &[Open], subject: usize) -> usize {
    streams.iter().filter(|open| open.subjects.contains(&subject)).count()
}

impl World {
    fn has_room(&self, subject: usize) -> bool {
        let open = count(&self.open, subject);
        open < LIMIT && open + count(&self.closed, subject) < 2 * LIMIT
    }

    fn open(&mut self) {
        let mut subjects: Vec<_> =
            (0..self.random.usize(..4)).map(|_| self.random.usize(..self.subjects)).collect();
        subjects.sort_unstable();
        subjects.dedup();
        let mut request = Requester::Fetch.request("/");
        let handle = self.streams.subjects_of(&mut request);
        subjects.iter().for_each(|subject| _ = handle.add(subject.to_string()));
        let (_feed, body) = Feed::new();
        let response = answer_to(request, &self.layer, event_stream(body));
        let has_room = subjects.iter().all(|subject| self.has_room(*subject));
        assert_eq!(response.status() == StatusCode::OK, has_room, "{subjects:?}");
        if has_room {
            let (mut body, wakes) = (response.into_body(), Arc::<Wakes>::default());
            let waker = Waker::from(Arc::clone(&wakes));
            while poll_frame_with(&mut body, &waker) != Polled::Pending {}
            self.open.push(Open { subjects, body, _feed, wakes });
        }
    }

    /// Removes the streams that have been closed, and checks that these and no others have woken
    /// their tasks.
    fn remove(&mut self, is_closed: impl Fn(&Open) -> bool) -> usize {
        let (closed, open): (Vec<_>, Vec<_>) = self.open.drain(..).partition(is_closed);
        self.open = open;
        assert!(self.open.iter().all(|open| open.wakes.take() == 0));
        let count = closed.len();
        for mut closed in closed {
            assert!(closed.wakes.take() > 0, "{:?}", closed.subjects);
            if self.random.bool() {
                self.closed.push(closed);
            } else {
                assert_ne!(poll_frame_with(&mut closed.body, Waker::noop()), Polled::Pending);
            }
        }
        count
    }

    fn step(&mut self) {
        match self.random.u8(..200) {
            0 => self.open.clear(),
            1 => {
                let closed = self.streams.close_all();
                assert_eq!(self.remove(|open| !open.subjects.is_empty()), closed);
            }
            2..20 => {
                let subject = self.random.usize(..self.subjects);
                let closed = now(self.streams.close(&subject.to_string()));
                assert_eq!(self.remove(|open| open.subjects.contains(&subject)), closed);
            }
            20..40 if !self.open.is_empty() => {
                _ = self.open.swap_remove(self.random.usize(..self.open.len()));
            }
            40..50 if !self.closed.is_empty() => {
                let index = self.random.usize(..self.closed.len());
                let mut closed = self.closed.swap_remove(index);
                if self.random.bool() {
                    assert_ne!(poll_frame_with(&mut closed.body, Waker::noop()), Polled::Pending);
                }
            }
            _ => self.open(),
        }
    }

    fn check(&self) {
        let mut expected = BTreeMap::<_, usize>::new();
        let subjects = self.open.iter().flat_map(|open| &open.subjects);
        subjects.for_each(|subject| *expected.entry(subject.to_string()).or_default() += 1);
        let listed = self.streams.subjects().into_iter();
        let listed: BTreeMap<_, _> =
            listed.map(|(name, count)| (name.to_string(), count)).collect();
        assert_eq!(listed, expected);
        for subject in (0..self.subjects).map(|subject| subject.to_string()) {
            let count = expected.get(&subject).copied().unwrap_or_default();
            assert_eq!(self.streams.count(&subject), count, "{subject}");
        }
    }
}

/// There are more subjects than tables of them, and more streams than an empty list of a shutdown
/// keeps room for.
#[tokio::test(start_paused = true)]
async fn closes_limits_and_shutdown_concern_the_streams_of_a_naive_list() {
    let (mut most, mut most_closed) = (0, 0);
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let streams = Streams::builder().limit("", LIMIT).build();
        let shutdown = CancellationToken::new();
        let layer = SseLayer::new().without_heartbeat().drain(Drain::at_once());
        let layer = layer.streams(&streams).shutdown(shutdown.clone());
        let subjects = random.usize(1..100);
        let mut world =
            World { random, subjects, streams, layer, open: Vec::new(), closed: Vec::new() };
        for _ in 0..world.random.usize(..300) {
            world.step();
            world.check();
            most = most.max(world.open.len());
            most_closed = most_closed.max(world.closed.len());
        }
        shutdown.cancel();
        world.remove(|_| true);
    }
    assert!(most > 64 && most_closed > 2 * LIMIT, "{most}, {most_closed}");
}
