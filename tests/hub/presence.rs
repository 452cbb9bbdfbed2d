//! The code that the documentation of the module `streams` shows, as it stands there.

use crate::*;

const INTERVAL: Duration = Duration::from_secs(5);

/// The newest report of each process, and when it came.
#[derive(Clone, Default)]
struct Presence(Arc<Mutex<HashMap<String, (Instant, String)>>>);

impl Presence {
    /// Starts to follow the counts of all processes, and to report those of this one.
    fn start(hub: &Hub, streams: &Streams) -> Self {
        let presence = Self::default();
        tokio::spawn(presence.clone().follow(hub.clone()));
        tokio::spawn(report(hub.clone(), streams.clone()));
        presence
    }

    async fn follow(self, hub: Hub) {
        let mut reports = hub.subscribe_to("presence").resume(None).messages();
        while let Some(report) = reports.next().await {
            // After a gap, the next reports come within an interval.
            let Ok(report) = report else { continue };
            let Some((process, counts)) = report.data.split_once('\n') else { continue };
            let report = (Instant::now(), counts.to_owned());
            self.0.lock().unwrap().insert(process.to_owned(), report);
        }
    }

    /// Returns how many streams of a subject are open in all processes.
    fn count(&self, subject: &str) -> usize {
        let mut processes = self.0.lock().unwrap();
        processes.retain(|_, (since, _)| since.elapsed() < 3 * INTERVAL);
        let counts = processes.values().flat_map(|(_, counts)| counts.lines());
        let of_subject = counts.filter_map(|line| line.split_once(' '));
        of_subject
            .filter(|(_, name)| *name == subject)
            .filter_map(|(n, _)| n.parse::<usize>().ok())
            .sum()
    }
}

async fn report(hub: Hub, streams: Streams) {
    let process = format!("{:x}", fastrand::u64(..));
    let mut ticks = interval(INTERVAL);
    loop {
        ticks.tick().await;
        let mut report = format!("{process}\n");
        for (subject, count) in streams.subjects() {
            // Report only the subjects that `count` is called with: every process receives
            // each report, so keep it short.
            if subject.starts_with("tenant:") {
                report += &format!("{count} {subject}\n");
            }
        }
        // Any other error loses only this report. A report above 1 MiB is `TooLarge`.
        if let Err(PublishError::Closed) = hub.publish("presence", report).await {
            return;
        }
    }
}

/// Waits until each process has reported at least `intervals` times since the call.
async fn wait(intervals: u32) {
    tokio::time::sleep(intervals * INTERVAL + Duration::from_millis(1)).await;
}

#[test]
fn page_shows_the_code_that_is_tested() {
    let source = include_str!("../../src/streams/mod.rs");
    let lines = source.lines().filter_map(|line| line.strip_prefix("//!"));
    let page: String =
        lines.map(|it| format!("{}\n", it.strip_prefix(' ').unwrap_or(it))).collect();
    let (_, code) = page.split_once("const INTERVAL").expect("the code");
    let (code, _) = code.split_once("# }\n```").expect("its end");
    let tested = include_str!("presence.rs");
    assert!(tested.contains(&format!("\nconst INTERVAL{code}")), "{code}");
}

#[tokio::test(start_paused = true)]
async fn each_process_counts_the_streams_of_all() {
    let broker = MemoryBroker::new();
    let mut processes = Vec::new();
    for _ in 0..2 {
        let hub = Hub::connect(broker.clone()).await.unwrap();
        let streams = Streams::follow(&hub, "closes");
        let presence = Presence::start(&hub, &streams);
        processes.push((hub, streams, presence));
    }
    let mut open = Vec::new();
    for (process, subject) in
        [(0, "tenant:7"), (1, "tenant:7"), (1, "tenant:7"), (1, "tenant:8"), (0, "user:1")]
    {
        let streams = &processes[process].1;
        let mut request = Request::new(());
        streams.subjects_of(&mut request).add(subject);
        let service = SseLayer::new().streams(streams).layer(service_fn(|_| {
            ready(Ok::<_, Infallible>(tower_sse::response(stream::pending::<Event>())))
        }));
        open.push(service.oneshot(request).await.unwrap());
    }
    wait(1).await;
    for (_, _, presence) in &processes {
        let subjects = ["tenant:7", "tenant:8", "tenant:9", "user:1"];
        assert_eq!(subjects.map(|subject| presence.count(subject)), [3, 1, 0, 0]);
    }

    open.truncate(2);
    wait(1).await;
    assert_eq!(processes[0].2.count("tenant:7"), 2, "the last one ended");

    broker.pause(&processes[1].0);
    wait(3).await;
    assert_eq!(processes[1].2.count("tenant:7"), 0, "a process that is cut off hears nothing");

    processes[1].0.close();
    wait(3).await;
    assert_eq!(processes[0].2.count("tenant:7"), 1, "the other process is gone");
}
