//! What one more process costs Redis.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use tower_sse::hub::Hub;

use crate::{
    client::receive,
    server::{Server, run},
    subject::Subject,
};

const RATE: usize = 1_000;
const SECONDS: usize = 5;

pub(crate) fn measure(server: &Server) {
    println!("\n## Readers\n");
    println!("{RATE} single events a second for {SECONDS} seconds; every reader has one client.\n");
    println!("| readers | pause, ms | events/s reached | Redis, % of a processor |");
    println!("|---:|---:|---:|---:|");
    for pause in [0, 5] {
        for readers in [1, 2, 4, 8, 16, 32] {
            let (reached, load) = run(follow(server, readers, Duration::from_millis(pause)));
            println!("| {readers} | {pause} | {reached:.0} | {:.1} |", load * 100.0);
        }
    }
}

async fn follow(server: &Server, readers: usize, pause: Duration) -> (f64, f64) {
    server.flush().await;
    let count = RATE * SECONDS;
    let mut clients = Vec::new();
    let mut publisher = None;
    for _ in 0..readers {
        let hub = Hub::connect(server.broker().pause(pause)).await.expect("a server");
        let subject = Subject::TowerSse(hub.clone());
        clients.push(tokio::spawn(receive(subject.client().await, count, |_| {})));
        publisher.get_or_insert(hub);
    }
    let publisher = publisher.expect("a reader");
    let (started, load) = (Instant::now(), server.processor_time());
    let mut ticks = interval(Duration::from_secs(1) / RATE as u32);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sent = Vec::with_capacity(count);
    for _ in 0..count {
        ticks.tick().await;
        let hub = publisher.clone();
        sent.push(tokio::spawn(async move { hub.publish("a", "x".repeat(256)).await }));
    }
    for sent in sent {
        _ = sent.await.expect("a publisher").expect("published");
    }
    for client in clients {
        client.await.expect("a client");
    }
    let time = started.elapsed().as_secs_f64();
    let load = (server.processor_time() - load).as_secs_f64();
    (count as f64 / time, load / time)
}
