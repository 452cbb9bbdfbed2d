//! Closing the streams of a subject in several processes, which share a broker in memory.

use crate::*;

type Body = SseBody<EventBody<stream::Pending<Event>>>;

const TOPIC: &str = "closes";

struct Process {
    hub: Hub,
    streams: Streams,
}

impl Process {
    fn start(builder: HubBuilder, broker: &MemoryBroker) -> Self {
        let hub = connect_with(builder, broker);
        Self { streams: Streams::follow(&hub, TOPIC), hub }
    }

    fn open(&self, subjects: &[&'static str]) -> Body {
        let mut request: Request<()> = Requester::EventSource.request("/");
        let handle = self.streams.subjects_of(&mut request);
        for subject in subjects {
            handle.add(*subject);
        }
        self.answer(request)
    }

    /// Opens a stream that replaces those of a subject.
    async fn replace(&self, subject: &'static str) -> Body {
        let mut request: Request<()> = Requester::EventSource.request("/");
        let handle = self.streams.subjects_of(&mut request);
        self.streams.replace(&handle, subject).await.unwrap();
        self.answer(request)
    }

    fn answer(&self, request: Request<()>) -> Body {
        let layer = SseLayer::new().without_retry().streams(&self.streams);
        answer_to(request, &layer, tower_sse::response(stream::pending::<Event>())).into_body()
    }
}

fn processes() -> (MemoryBroker, [Process; 3]) {
    let broker = MemoryBroker::new();
    let processes = [(); 3].map(|()| Process::start(Hub::builder(), &broker));
    (broker, processes)
}

#[tokio::test]
async fn close_ends_the_streams_of_all_processes() {
    let (_, processes) = processes();
    let mut closed = processes.each_ref().map(|process| process.open(&["user:1", "a\nb"]));
    let mut others = processes.each_ref().map(|process| process.open(&["user:2"]));
    assert_eq!(processes[0].streams.close("a\nb").await.unwrap(), 1, "in this process");
    for (process, body) in processes.iter().zip(&mut closed) {
        until(|| process.streams.count("user:1") == 0).await;
        assert_eq!(poll_frame(body), Polled::End);
    }
    assert!(others.iter_mut().all(|body| poll_frame(body) == Polled::Pending));
}

#[tokio::test]
async fn newest_stream_of_a_subject_replaces_those_of_all_processes() {
    let (_, processes) = processes();
    let other = processes[0].open(&["tab:2"]);
    let mut earlier = processes[2].replace("tab:1").await;
    for round in 0..6 {
        let process = &processes[round % 3];
        // The closes of the round before have reached each process.
        let fences = processes.each_ref().map(|process| process.open(&["fence"]));
        process.streams.close("fence").await.unwrap();
        until(|| processes.iter().all(|process| process.streams.count("fence") == 0)).await;
        drop(fences);
        let mut newest = process.replace("tab:1").await;
        until(|| poll_frame(&mut earlier) == Polled::End).await;
        assert_eq!(poll_frame(&mut newest), Polled::Pending);
        assert_eq!(process.streams.count("tab:1"), 1);
        earlier = newest;
    }
    assert_eq!(processes[0].streams.count("tab:2"), 1);
    drop((other, earlier));
}

#[tokio::test]
async fn kept_streams_stay_in_all_processes() {
    let (_, processes) = processes();
    let kept = processes.each_ref().map(|process| process.open(&["user:1", "session:a"]));
    let closed = processes.each_ref().map(|process| process.open(&["user:1", "session:b"]));
    assert_eq!(processes[1].streams.close_except("user:1", "session:a").await.unwrap(), 1);
    for process in &processes {
        until(|| process.streams.count("session:b") == 0).await;
        assert_eq!(process.streams.count("user:1"), 1);
    }
    drop((kept, closed));
}

/// A process also receives its own close from the broker. That must not end the stream of a client
/// that has reconnected since, and whose user was checked again.
#[tokio::test]
async fn no_process_obeys_its_own_close() {
    let (broker, [one, other, _]) = processes();
    let mut before = one.open(&["a"]);
    broker.pause(&one.hub);
    one.streams.close("a").await.unwrap();
    assert_eq!(poll_frame(&mut before), Polled::End);
    let mut after = one.open(&["a"]);
    let mut elsewhere = one.open(&["b"]);
    broker.resume(&one.hub);
    // Once the process has read this later close, it has also read the echo of its own.
    other.streams.close("b").await.unwrap();
    until(|| one.streams.count("b") == 0).await;
    assert_eq!(poll_frame(&mut elsewhere), Polled::End);
    assert_eq!(poll_frame(&mut after), Polled::Pending);
}

/// With `Retention::latest`, a price replaces the price before it, but a close replaces no other
/// close.
#[tokio::test]
async fn no_close_is_lost_in_a_hub_that_keeps_few_events() {
    let few = Retention::new().events(1).bytes(1).age(Duration::ZERO);
    for retention in [Retention::latest(), few] {
        no_close_is_lost(|| Hub::builder().retention(retention)).await;
    }
    no_close_is_lost(|| Hub::builder().retention_of(move |_| Some(few))).await;
    no_close_is_lost(|| Hub::builder().max_memory(0)).await;
}

/// Events of other topics arrive before the process has read the closes.
#[tokio::test]
async fn burst_of_other_events_evicts_no_close() {
    let builder = || Hub::builder().max_memory(64 << 10);
    let broker = MemoryBroker::new();
    let one = Process::start(builder(), &broker);
    let other = Process::start(builder(), &broker);
    let _closed = ["a", "b"].map(|subject| other.open(&[subject]));
    let _bystander = other.open(&["c"]);
    broker.pause(&other.hub);
    for subject in ["a", "b"] {
        one.streams.close(subject).await.unwrap();
    }
    for n in 0..20 {
        publish(&one.hub, &format!("news {}", n % 2), &"x".repeat(6_000));
    }
    broker.resume(&other.hub);
    until(|| other.streams.count("b") == 0).await;
    assert_eq!((other.streams.count("a"), other.streams.count("c")), (0, 1));
}

/// If closes took memory from other topics, many logouts would evict the events of all other
/// topics.
#[tokio::test]
async fn closes_take_no_memory_from_other_topics() {
    const MEMORY: usize = 64 << 10;
    let unlimited = Retention::new().events(usize::MAX).bytes(usize::MAX);
    let hub = Hub::builder().retention(unlimited).max_memory(MEMORY).build();
    // The topic has events, which can be evicted, before `Streams` follows it.
    publish_all(&hub, ["closes", "closes"]);
    let streams = Streams::follow(&hub, "c");
    let news = publish(&hub, "news", &"x".repeat(MEMORY / 2));
    let memory = hub.stats().memory;
    let subject = "s".repeat(1_000);
    for _ in 0..5_000 {
        streams.close(&subject).await.unwrap();
    }
    assert_eq!(hub.stats().memory, memory);
    let closes = hub.stats().events - 1;
    assert!((900..1_100).contains(&closes), "{closes} closes in 1.2 MiB");
    publish_all(&hub, ["ticks"]);
    assert_eq!(read(&hub, &["news"], id(&hub, news - 1)).len(), 1);
    publish(&hub, "large", &"x".repeat(MEMORY - 1_000));
    assert_eq!(hub.stats().events, 1 + closes);
}

async fn no_close_is_lost(builder: impl Fn() -> HubBuilder) {
    let broker = MemoryBroker::new();
    let one = Process::start(builder(), &broker);
    let other = Process::start(builder(), &broker);
    let mut closed = ["a", "b"].map(|subject| other.open(&[subject]));
    let mut stays = other.open(&["c"]);
    broker.pause(&other.hub);
    for subject in ["a", "b"] {
        one.streams.close(subject).await.unwrap();
    }
    broker.resume(&other.hub);
    until(|| other.streams.count("b") == 0).await;
    assert!(closed.iter_mut().all(|body| poll_frame(body) == Polled::End));
    assert_eq!(poll_frame(&mut stays), Polled::Pending);

    // A close from before the start of a process ends none of its streams.
    let later = Process::start(builder(), &broker);
    let mut body = later.open(&["b"]);
    let mut last = later.open(&["last"]);
    one.streams.close("last").await.unwrap();
    until(|| poll_frame(&mut last) == Polled::End).await;
    assert_eq!(poll_frame(&mut body), Polled::Pending);
}

#[tokio::test]
async fn gap_ends_all_streams_with_subjects() {
    let (broker, [one, other, _]) = processes();
    let mut with = one.open(&["a"]);
    let mut without = one.open(&[]);
    broker.lose_history();
    until(|| one.streams.count("a") == 0).await;
    assert!(matches!(poll_frame(&mut with), Polled::Data(line) if line.starts_with(b"retry: ")));
    assert_eq!(poll_frame(&mut with), Polled::End);
    assert_eq!(poll_frame(&mut without), Polled::Pending);

    // After the gap, the process still follows the closes of other processes.
    let mut later = one.open(&["a"]);
    other.streams.close("a").await.unwrap();
    until(|| one.streams.count("a") == 0).await;
    assert_eq!(poll_frame(&mut later), Polled::End);
}

/// A newer version may publish closes that this version does not know.
#[tokio::test]
async fn unknown_event_of_the_topic_is_a_gap() {
    let (_, [one, other, _]) = processes();
    let _body = one.open(&["a"]);
    other.hub.publish(TOPIC, Event::new().event("close-later").data("…")).await.unwrap();
    until(|| one.streams.count("a") == 0).await;
}

#[tokio::test]
async fn errors_say_whether_other_processes_have_received_the_close() {
    let (broker, [one, ..]) = processes();
    let mut body = one.open(&["a"]);
    broker.refuse(1);
    let error = async || one.streams.close("a").await.unwrap_err().to_string();
    let unsure = "other processes may not have received the close";
    let refused = "event was not published: refused by the test";
    assert_eq!(error().await, format!("{unsure}: {refused}"));
    assert_eq!(poll_frame(&mut body), Polled::End, "the streams here have ended");
    broker.lose_acknowledgements(1);
    let lost = "broker did not acknowledge the event: acknowledgement lost by the test";
    assert_eq!(error().await, format!("{unsure}: {lost}"));

    let mut body = one.open(&["a"]);
    one.hub.close();
    until(|| one.hub.subscriber_count(TOPIC) == 0).await;
    assert_eq!(poll_frame(&mut body), Polled::Pending, "the close of the hub ends no stream");
    assert_eq!(error().await, format!("{unsure}: hub is closed"));
    assert_eq!(poll_frame(&mut body), Polled::End);
}

/// A service may drop its router, and with it `Streams`, while its streams still drain.
#[tokio::test]
async fn process_follows_until_its_last_stream_with_a_subject_has_ended() {
    let (_, [one, other, _]) = processes();
    let mut body = one.open(&["a"]);
    let Process { hub, streams } = one;
    drop(streams);
    assert_eq!(hub.subscriber_count(TOPIC), 1);
    other.streams.close("a").await.unwrap();
    until(|| poll_frame(&mut body) == Polled::End).await;
    drop(body);
    until(|| hub.subscriber_count(TOPIC) == 0).await;
}

#[tokio::test]
async fn without_a_broker_the_topic_closes_the_streams_of_one_process() {
    let hub = Hub::new();
    let [one, other] = [(); 2].map(|()| Streams::follow(&hub, TOPIC));
    let one = Process { hub: hub.clone(), streams: one };
    let _body = one.open(&["a"]);
    assert_eq!(other.close("a").await.unwrap(), 0);
    until(|| one.streams.count("a") == 0).await;
}
