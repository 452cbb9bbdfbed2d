//! Events of this crate's own streams are recorded like the same bytes from any other body.

use proptest::{prelude::*, sample::Index};

use crate::*;

/// An event of a source, and the number of polls for which the source is pending before it.
type Step = (Event, usize);

/// Returns events of up to `longest` bytes.
fn random_steps(random: &mut fastrand::Rng, longest: usize) -> Vec<Step> {
    let pauses = [0, random.usize(..3)];
    (0..random.usize(1..60))
        .map(|_| (random_event(random, longest), pauses[random.usize(..pauses.len())]))
        .collect()
}

fn random_event(random: &mut fastrand::Rng, longest: usize) -> Event {
    const TEXTS: [&str; 8] =
        ["", "token", "two\nlines", "one\r", "\u{feff}", ": no", "id: 7", "data: \r\n\r\n"];
    let mut event = Event::new();
    if random.u8(..10) > 0 {
        let text = TEXTS[random.usize(..TEXTS.len())];
        let length = [0, 1, 10, 10, 100, 400, longest][random.usize(..7)];
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
        event = event.retry(Duration::from_millis(random.u64(..100)));
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

/// Returns a body that this crate did not make, with the same bytes in frames of any size.
fn foreign(steps: Vec<Step>, random: &mut fastrand::Rng) -> Response<Body> {
    let pauses: Vec<_> = steps.iter().map(|(_, pending)| *pending).collect();
    let bytes: Encoded = steps.into_iter().map(|(event, _)| event).collect();
    let mut rest = bytes.as_bytes();
    let largest = [200, 200, 100_000][random.usize(..3)];
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let (frame, after) = rest.split_at(random.usize(1..=rest.len().min(largest)));
        frames.push((frame.to_vec(), pauses[frames.len() % pauses.len()]));
        rest = after;
    }
    let frames = stream::iter(frames).then(|(frame, pending)| async move {
        pause(pending).await;
        Ok(http_body::Frame::data(frame.into()))
    });
    event_stream(StreamBody::new(frames).boxed_unsync())
}

/// What a client reads while the run is recorded, and the replays of the whole run and after each
/// id.
#[derive(Debug, PartialEq)]
struct Recorded {
    live: String,
    replays: Vec<String>,
}

async fn read(answer: Answer) -> String {
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn plain_rig(runs: Runs) -> Rig {
    Rig { layer: SseLayer::new().without_heartbeat(), ..Rig::new(runs) }
}

async fn record(runs: Runs, answer: Response<Body>) -> Recorded {
    let rig = plain_rig(runs);
    let first = rig.call(post()).await;
    rig.handler.reply(Ok(answer));
    let live = read(first.answer().await).await;
    let run = rig.runs.get(&turn()).await.unwrap();
    replay(&rig, live, &run).await
}

/// Records a stream without the layer.
async fn start(runs: Runs, steps: Vec<Step>) -> Recorded {
    let run = runs.start(&turn(), None, || events(steps)).await.unwrap();
    let rig = plain_rig(runs);
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

/// Replaces the epoch in the ids, which differs between runs.
fn without_epoch(recorded: &str) -> String {
    let Some((_, id)) = recorded.rsplit_once("\nid: ") else { return recorded.to_owned() };
    let (epoch, _) = id.split_once('-').unwrap();
    recorded.replace(&format!("\nid: {epoch}-"), "\nid: E-")
}

#[tokio::test(start_paused = true)]
async fn own_events_and_foreign_bytes_make_the_same_record_and_replays() {
    let mut largest = 0;
    for seed in 0..60 {
        let random = &mut fastrand::Rng::with_seed(seed);
        // With the smaller record, the source may have to wait for its client. The largest events
        // are larger than what is recorded or read at a time.
        let (longest, retained) =
            [(3000, 8 * 1024), (3000, 1 << 20), (100_000, 4 << 20)][random.usize(..3)];
        let steps = random_steps(random, longest);
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
        largest = largest.max(recorded.len());
    }
    assert!(largest > 200_000, "{largest}");
}

// What `Run::messages` returns.

async fn recorded(runs: &Runs, events: Vec<Event>) -> Run {
    let run = runs.start(&turn(), None, || stream::iter(events)).await.unwrap();
    assert_eq!(run.ended().await, Some(Outcome::Completed));
    run
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_run_are_its_events_unless_one_was_evicted() {
    let data = |at| format!("{at}\n{}", "x".repeat(1000));
    let events = (0..1000).map(|at| Event::new().event("usage").data(data(at))).collect();
    let messages = recorded(&Runs::new(), events).await.messages().unwrap();
    assert_eq!(messages.len(), 1000);
    for (at, message) in messages.iter().enumerate() {
        assert_eq!((&*message.event, &message.data), ("usage", &data(at)));
        assert!(message.last_event_id.ends_with(&format!("-{}", at + 1)));
    }
    let runs = Runs::builder().retain_bytes(300).build();
    let events = (0..10).map(|at| Event::from(format!("event {at}"))).collect();
    assert!(recorded(&runs, events).await.messages().is_none());
}

// Bytes of any source, cut anywhere, are recorded as the events that a client decodes.

pub(crate) fn names_and_data(bytes: &[u8]) -> Vec<(String, String)> {
    naive::read(bytes).events.into_iter().map(|(name, data, _)| (name, data)).collect()
}

async fn recorded_bytes(frames: Vec<&[u8]>) -> Vec<u8> {
    let rig = plain_rig(Runs::new());
    let first = rig.call(post()).await;
    let frames: Vec<_> =
        frames.into_iter().map(|frame| Ok(http_body::Frame::data(frame.to_vec().into()))).collect();
    let body = StreamBody::new(stream::iter(frames).then(|frame| async {
        yield_now().await;
        frame
    }));
    rig.handler.reply(Ok(event_stream(body.boxed_unsync())));
    let answer = first.answer().await;
    answer.into_body().collect().await.unwrap().to_bytes().to_vec()
}

/// Asserts that a client decodes from the recorded bytes what the oracle decodes from `source`.
async fn check(source: &[u8], cuts: &[Index]) {
    let recorded = recorded_bytes(cut(source, cuts)).await;
    let ids: Vec<_> = naive::read(&recorded).events.into_iter().map(|(.., id)| id).collect();
    assert_eq!(names_and_data(&recorded), names_and_data(source));
    let text = String::from_utf8_lossy(&recorded);
    assert!(!text.contains('\r') && !text.contains("\n:"), "{text:?}");
    // Each event ends with its id, and has no other `id` line.
    for (n, block) in text.split_terminator("\n\n").enumerate() {
        let lines: Vec<_> = block.lines().collect();
        let (last, others) = lines.split_last().unwrap();
        assert!(last.starts_with("id: ") && last.ends_with(&format!("-{}", n + 1)), "{last}");
        let count = |field| others.iter().filter(|line| line.split(':').next() == field).count();
        assert_eq!(count(Some("id")), 0, "{block}");
        assert!(count(Some("retry")) <= 1, "{block}");
        assert_ne!(count(Some("data")), 0, "{block}");
    }
    let mut unique = ids.clone();
    unique.dedup();
    assert_eq!(unique, ids);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_bytes_in_500_cuttings_are_the_same_messages(
        source in prop::collection::vec(special_bytes(), 1..4).prop_map(|parts| parts.concat()),
        cuts in prop::collection::vec(any::<Index>(), 0..12),
    ) {
        runtime().block_on(check(&source, &cuts));
    }
}

#[tokio::test(start_paused = true)]
async fn recorded_events_are_normal_and_keep_their_order_of_lines() {
    for (source, expected) in [
        ("data: a\n\n", "data: a\nid: E-1\n\n"),
        ("event: x\r\ndata: a\r\ndata: b\r\n\r\n", "event: x\ndata: a\ndata: b\nid: E-1\n\n"),
        ("id: 7\ndata: a\n: no\nid\n\n: no\n\n", "data: a\nid: E-1\n\n"),
        ("retry: 1\n\nretry: 2\n\ndata: a\n\n", "data: a\nretry: 2\nid: E-1\n\n"),
        ("retry: 1\ndata: a\nretry: 3\n\n", "data: a\nretry: 3\nid: E-1\n\n"),
        ("other: x\n\nother: y\ndata: a\n\n", "other: y\ndata: a\nid: E-1\n\n"),
        ("event: x\n\ndata\n\nevent: x\r\n\r\n", "data\nid: E-1\n\n"),
        ("event: x\nretry: 4\n\nevent: y\ndata: a\n\n", "event: y\ndata: a\nretry: 4\nid: E-1\n\n"),
        ("data: a\n\ndata: half\n", "data: a\nid: E-1\n\n"),
        ("data: a\n\nid: 9\n\n", "data: a\nid: E-1\n\n"),
    ] {
        let recorded = String::from_utf8(recorded_bytes(vec![source.as_bytes()]).await).unwrap();
        let epoch = recorded.split_once("id: ").unwrap().1.split_once('-').unwrap().0;
        assert_eq!(recorded.replace(epoch, "E"), expected, "{source:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn sse_stream_reads_every_attachment() {
    let rig = Rig::new(Runs::new());
    let (feed, mut first) = rig.stream(post()).await;
    feed.data("retry: 5\n\nevent: tick\ndata: a\ndata: b\n\n: no\n\ndata: c\n\n");
    first.read().await;
    let id = sibling(&first.last, 1);
    feed.end();
    settle().await;
    let (epoch, _) = id.split_once('-').unwrap();
    let all = ["tick a\nb -1", " c -2", " [DONE] "];
    for (request, expected) in [(post(), &all[..]), (after(&id, post()), &all[1..])] {
        let mut client = rig.send(request).client().await;
        client.read().await;
        let chunks = || {
            let chunks = client.bytes.chunks(3).map(Bytes::copy_from_slice);
            stream::iter(chunks.map(Ok::<_, Infallible>))
        };
        macro_rules! assert_reads {
            ($version:ident) => {
                let read: Vec<_> = $version::SseStream::from_bytes_stream(chunks())
                    .map(Result::unwrap)
                    .map(|sse| {
                        let [name, data, id] =
                            [sse.event, sse.data, sse.id].map(Option::unwrap_or_default);
                        format!("{name} {data} {}", id.trim_start_matches(epoch))
                    })
                    .collect()
                    .await;
                assert_eq!(read, expected);
            };
        }
        assert_reads!(sse_stream);
        assert_reads!(sse_stream_02);
    }
}

#[tokio::test(start_paused = true)]
async fn event_larger_than_the_record_fails_the_run() {
    for data in ["x".repeat(200), "x\ndata: ".repeat(40)] {
        let (log, _recording) = Log::record();
        let rig = Rig::new(Runs::builder().retain_bytes(200).build());
        let (feed, mut first) = rig.stream(post()).await;
        feed.data("data: small\n\n");
        feed.data(format!("data: {data}"));
        assert_eq!(first.read().await, ["small"]);
        assert_eq!(first.end, Some(End::Failed));
        assert!(feed.is_dropped());
        // The reason must be in a warning, because most programs hide DEBUG lines.
        let warnings = log.lines().into_iter().filter(|line| line.contains("WARN"));
        let warnings: Vec<_> = warnings.collect();
        assert!(matches!(&warnings[..], [one] if one.contains("an event is larger than")));
    }
}
