//! Clients that poll three processes, one of which restarts.
//!
//! `TOWER_SSE_POLLS` sets how many events are published to how many clients, as in `100000x100`.

use axum::{Router, extract::State, routing::get};
use tower_sse::{StreamOptions, decode::Decoder};

use crate::support::client;
use crate::*;

/// The published events are numbered. Each client must receive each number once, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_poll_three_processes_receive_each_event_once_in_order() {
    let load = env::var("TOWER_SSE_POLLS").unwrap_or_else(|_| "500x10".to_owned());
    let (events, clients) = load.split_once('x').expect("events, an x, and clients");
    let (events, clients): (usize, usize) = (events.parse().unwrap(), clients.parse().unwrap());
    let Some(server) = Server::start().await else { return };
    let hubs = [serve(&server).await, serve(&server).await, serve(&server).await];
    let start = LastEventId::from(hubs[0].0.position());
    let addresses = Arc::new(Mutex::new(hubs.each_ref().map(|(_, address)| *address)));

    // Clients pause between polls, as an `EventSource` does, so that even many clients leave time
    // for the publisher.
    let max_pause = Duration::from_millis(10) * clients as u32;
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            let (addresses, last) = (Arc::clone(&addresses), start.clone());
            let client = Poller { addresses, last, max_pause };
            AbortOnDropHandle::new(tokio::spawn(client.read(events)))
        })
        .collect();
    let [publisher, stopped, _third] = hubs;
    // Published together, many events take little longer than one. `try_join_all` polls up to 30
    // futures in order.
    let together = (events / 500).clamp(1, 30);
    for first in (0..events).step_by(together) {
        let numbers = first..events.min(first + together);
        let publish = |number: usize| publisher.0.publish("news", number.to_string());
        try_join_all(numbers.clone().map(publish)).await.unwrap();
        if numbers.contains(&(events / 2)) {
            let (_, replacement) = serve(&server).await;
            addresses.lock().unwrap()[1] = replacement;
            stopped.0.close();
        }
    }
    let mut polls = 0;
    for client in clients {
        polls += client.await.unwrap();
    }
    println!("{load}: {polls} polls");
}

async fn serve(server: &Server) -> (Hub, SocketAddr) {
    let retention = Retention::new().events(200_000).bytes(64 << 20);
    let builder = Hub::builder().retention(retention).max_memory(256 << 20);
    let hub = builder.connect(server.broker()).await.unwrap();
    let events = async |State(hub): State<Hub>, last: Option<LastEventId>| {
        hub.subscribe_to("news").resume(last).response()
    };
    let layer = SseLayer::new().options(StreamOptions::new().long_poll(Duration::from_secs(8)));
    let routes = Router::new().route("/events", get(events)).with_state(hub.clone()).layer(layer);
    (hub, support::serve_axum(routes).await)
}

struct Poller {
    addresses: Arc<Mutex<[SocketAddr; 3]>>,
    last: LastEventId,
    /// The longest time between two polls.
    max_pause: Duration,
}

impl Poller {
    /// Reads this number of events, with each poll at a random process. Returns the number of
    /// polls.
    async fn read(mut self, events: usize) -> usize {
        let (mut next, mut polls) = (0, 0);
        while next < events {
            let address = self.addresses.lock().unwrap()[fastrand::usize(..3)];
            let headers = [
                ("accept", "text/event-stream"),
                ("cache-control", "no-cache"),
                ("last-event-id", self.last.as_str()),
            ];
            let answer = client::get(address, "/events", &headers).await;
            assert_eq!(answer.status(), StatusCode::OK);
            let mut body = answer.into_body().collect().await.unwrap().to_bytes();
            let mut decoder = Decoder::new();
            while let Some(message) = decoder.decode(&mut body).unwrap() {
                assert_eq!((&*message.event, &*message.data), ("message", &*next.to_string()));
                self.last = LastEventId::try_from(message.last_event_id.to_string()).unwrap();
                next += 1;
            }
            polls += 1;
            tokio::time::sleep(self.max_pause.mul_f64(fastrand::f64())).await;
        }
        polls
    }
}
