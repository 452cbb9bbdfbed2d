//! A process of the storm: a server whose hub uses the SQLite file that all processes share, and
//! tasks that publish.

use super::*;

/// The number of publishing tasks of a process.
const PUBLISHERS: usize = 2;
const PAUSE: Duration = Duration::from_millis(80);

async fn events(State(hub): State<Hub>, last: Option<LastEventId>) -> impl IntoResponse {
    hub.subscribe_to("news").resume(last).response()
}

/// Publishes one event after another and prints what became of each.
async fn publish(hub: Hub, name: String, stop: CancellationToken) {
    let mut number = 0;
    while !stop.is_cancelled() {
        number += 1;
        let data = format!("{name} {number}");
        let outcome = match hub.publish("news", data.clone()).await {
            Ok(_) => "published",
            Err(PublishError::Unknown(_)) => "unknown",
            Err(_) => "refused",
        };
        println!("{outcome} {data}");
        sleep(PAUSE).await;
    }
}

/// A process of the storm. A SIGUSR1 stops its publishers, and a SIGTERM ends it.
#[tokio::test]
#[ignore = "a process of another test"]
async fn serve_and_publish() {
    let Some(task) = Process::task() else { return };
    let (path, name) = task.split_once('\n').unwrap();
    // On a busy machine, a client can come back after more than the default of 1,024 events.
    let hub = Hub::builder().retention(Retention::new().events(100_000));
    let hub = hub.connect(Sqlite::open(path).unwrap().broker("news")).await.unwrap();
    let (stop, shutdown) = (CancellationToken::new(), CancellationToken::new());
    let app = Router::new()
        .route("/events", get(events))
        .layer(SseLayer::new().shutdown(shutdown.clone()))
        .with_state(hub.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ended = shutdown.clone();
    let [mut stopping, mut ending] =
        [SignalKind::user_defined1(), SignalKind::terminate()].map(|kind| signal(kind).unwrap());
    Process::announce(listener.local_addr().unwrap());
    let publishing: JoinSet<()> = (0..PUBLISHERS)
        .map(|task| publish(hub.clone(), format!("{name}-{task}"), stop.clone()))
        .collect();
    tokio::spawn(async move {
        let is_ending = tokio::select! {
            _ = stopping.recv() => false,
            _ = ending.recv() => true,
        };
        stop.cancel();
        publishing.join_all().await;
        println!("stopped");
        if !is_ending {
            ending.recv().await;
        }
        ended.cancel();
    });
    axum::serve(listener, app).with_graceful_shutdown(shutdown.cancelled_owned()).await.unwrap();
    // This test's result isn't read, so the process exits at once.
    std::process::exit(0);
}
