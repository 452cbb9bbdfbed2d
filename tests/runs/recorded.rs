//! Events of this crate's own streams are recorded as the same bytes of any other body are.

use http_body_util::StreamBody;
use tokio::task::yield_now;
use tower_sse::{Encoded, EventBody};

use crate::{foreign::names_and_data, *};

/// An event of a source, after which the source is pending for as many polls.
type Step = (Event, usize);

fn random_steps(random: &mut fastrand::Rng) -> Vec<Step> {
    let pauses = [0, random.usize(..3)];
    (0..random.usize(1..60))
        .map(|_| (random_event(random), pauses[random.usize(..pauses.len())]))
        .collect()
}

fn random_event(random: &mut fastrand::Rng) -> Event {
    const TEXTS: [&str; 8] =
        ["", "token", "two\nlines", "one\r", "\u{feff}", ": no", "id: 7", "data: \r\n\r\n"];
    let mut event = Event::new();
    if random.u8(..10) > 0 {
        let text = TEXTS[random.usize(..TEXTS.len())];
        let length = [0, 1, 10, 10, 100, 400, 3000][random.usize(..7)];
        event = event.data(format!("{text}{}", "x".repeat(random.usize(..=length))));
    }
    if random.u8(..4) == 0 {
        event = event.event("tick");
    }
    if random.u8(..8) == 0 {
        event = event.id(random.u64(..));
    }
    if random.u8(..8) == 0 {
        event = event.comment(TEXTS[random.usize(..TEXTS.len())]);
    }
    if random.u8(..8) == 0 {
        event = event.retry(std::time::Duration::from_millis(random.u64(..100)));
    }
    event
}

async fn pause(polls: usize) {
    for _ in 0..polls {
        yield_now().await;
    }
}

fn events(steps: Vec<Step>) -> impl Stream<Item = Event> + Send + 'static {
    stream::iter(steps).then(|(event, pending)| async move {
        pause(pending).await;
        event
    })
}

/// A body that this crate did not make, with the same bytes in frames of any size.
fn foreign(steps: Vec<Step>, random: &mut fastrand::Rng) -> Response<Body> {
    let pauses: Vec<_> = steps.iter().map(|(_, pending)| *pending).collect();
    let bytes: Encoded = steps.into_iter().map(|(event, _)| event).collect();
    let mut rest = bytes.as_bytes();
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let (frame, after) = rest.split_at(random.usize(1..=rest.len().min(200)));
        frames.push((frame.to_vec(), pauses[frames.len() % pauses.len()]));
        rest = after;
    }
    let frames = stream::iter(frames).then(|(frame, pending)| async move {
        pause(pending).await;
        Ok(http_body::Frame::data(frame.into()))
    });
    event_stream(StreamBody::new(frames).boxed_unsync())
}

/// What a client reads while the run is recorded, and after each of its ids.
#[derive(Debug, PartialEq)]
struct Recorded {
    live: String,
    replays: Vec<String>,
}

async fn read(answer: Answer) -> String {
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Records the answer to a call.
async fn record(runs: Runs, answer: Response<Body>) -> Recorded {
    let mut rig = Rig::new(runs);
    rig.layer = tower_sse::SseLayer::new().without_heartbeat();
    let first = rig.call(post()).await;
    rig.handler.reply(Ok(answer));
    let live = read(first.answer().await).await;
    let run = rig.runs.get(&turn()).await.unwrap();
    replay(&rig, live, &run).await
}

/// Records a stream without the layer.
async fn start(runs: Runs, steps: Vec<Step>) -> Recorded {
    let run = runs.start(&turn(), None, || events(steps)).await.unwrap();
    let mut rig = Rig::new(runs);
    rig.layer = tower_sse::SseLayer::new().without_heartbeat();
    let live = read(rig.answer(post()).await).await;
    replay(&rig, live, &run).await
}

async fn replay(rig: &Rig, live: String, run: &Run) -> Recorded {
    let Some(messages) = run.messages() else {
        return Recorded { live: without_epoch(&live), replays: Vec::new() };
    };
    let mut replays = vec![read(rig.send(post()).wait().await.unwrap()).await];
    assert_eq!(replays[0], live);
    for message in messages {
        let answer = rig.send(after(&message.last_event_id, post())).wait().await.unwrap();
        replays.push(without_epoch(&read(answer).await));
    }
    replays[0] = without_epoch(&live);
    Recorded { live: without_epoch(&live), replays }
}

/// Replaces the epoch of the run, which differs between runs.
fn without_epoch(recorded: &str) -> String {
    let Some((_, id)) = recorded.rsplit_once("\nid: ") else { return recorded.to_owned() };
    let (epoch, _) = id.split_once('-').unwrap();
    recorded.replace(&format!("\nid: {epoch}-"), "\nid: E-")
}

#[tokio::test(start_paused = true)]
async fn own_events_and_foreign_bytes_make_the_same_record_and_replays() {
    for seed in 0..60 {
        let random = &mut fastrand::Rng::with_seed(seed);
        let steps = random_steps(random);
        // In half of the runs, the source has to wait for its client.
        let retained = [8 * 1024, 1 << 20][random.usize(..2)];
        let runs = || Runs::builder().retain_bytes(retained).build();

        let bytes: Encoded = steps.iter().map(|(event, _)| event.clone()).collect();
        let expected = record(runs(), foreign(steps.clone(), random)).await;
        let response = tower_sse::response(events(steps.clone()));
        assert_eq!(record(runs(), response.map(BodyExt::boxed_unsync)).await, expected, "{seed}");
        let encoded = EventBody::new(events(steps.clone()).map(Encoded::from));
        assert_eq!(record(runs(), event_stream(encoded.boxed_unsync())).await, expected, "{seed}");
        assert_eq!(start(runs(), steps).await, expected, "{seed}, without the layer");

        let recorded = expected.live.as_bytes();
        assert_eq!(names_and_data(recorded), names_and_data(bytes.as_bytes()), "{seed}");
    }
}
