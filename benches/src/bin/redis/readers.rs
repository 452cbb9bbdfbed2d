//! What one more process costs Redis, and what entries cost that process.

use crate::*;

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

/// Measures what each entry costs Redis and the process of a reader, when readers take many at a
/// time.
pub(crate) fn measure_batches(server: &Server) {
    println!("\n## Readers of batches\n");
    println!("Entries of 256 bytes, added 100 at a time by one client; µs of processor time.\n");
    println!(
        "| readers | clients of each | entries | Redis, µs per entry | of which each reader \
         | a reader's process, µs per entry |"
    );
    println!("|---:|---:|---:|---:|---:|---:|");
    for (readers, clients, entries) in [
        (0, 0, 200_000),
        (1, 0, 200_000),
        (1, 1, 200_000),
        (7, 0, 200_000),
        (7, 1, 100_000),
        (16, 0, 200_000),
        (100, 0, 40_000),
    ] {
        // The entries are added by this process too, so the cost without readers is subtracted.
        let alone = run(follow_batches(server, 0, 0, entries));
        let cost = run(follow_batches(server, readers, clients, entries));
        let each = |cost: f64, alone: f64| (cost - alone) / readers.max(1) as f64;
        println!(
            "| {readers} | {clients} | {entries} | {:.2} | {:.2} | {:.2} |",
            cost.redis,
            each(cost.redis, alone.redis),
            each(cost.own, alone.own),
        );
    }
}

/// Microseconds of processor time for each entry.
struct Cost {
    redis: f64,
    own: f64,
}

async fn follow_batches(server: &Server, readers: usize, clients: usize, entries: usize) -> Cost {
    server.flush().await;
    // With clients, the hub keeps all entries, so that a client that is behind receives no gap.
    let kept = if clients == 0 { 1_024 } else { entries };
    let retention = Retention::new().events(kept).bytes(1 << 30);
    let (mut hubs, mut receiving) = (Vec::new(), Vec::new());
    for _ in 0..readers {
        let hub = Hub::builder().retention(retention).max_memory(1 << 30);
        let hub = hub.connect(server.broker().max_events(entries)).await.expect("a server");
        for _ in 0..clients {
            let frames = Subject::TowerSse(hub.clone()).client().await;
            receiving.push(tokio::spawn(receive(frames, entries, |_| {})));
        }
        hubs.push(hub);
    }
    yield_now().await;
    let mut connection = server.connection().await;
    let (redis, own) = (server.processor_time(), own_processor_time());
    let mut batch = redis::pipe();
    for _ in 0..100 {
        let mut command = redis::cmd("XADD");
        command.arg("tower-sse").arg("MAXLEN").arg("~").arg(entries).arg("*").arg("topic").arg("a");
        batch.add_command(command.arg("data").arg("x".repeat(256)).clone()).ignore();
    }
    for _ in 0..entries / 100 {
        let () = batch.query_async(&mut connection).await.expect("entries");
    }
    let mut last = redis::cmd("XREVRANGE");
    last.arg("tower-sse").arg("+").arg("-").arg("COUNT").arg(1);
    let last: Vec<(String, Vec<String>)> = last.query_async(&mut connection).await.expect("one");
    let (time, count) = last[0].0.split_once('-').expect("an id");
    let newest = (time.parse::<u64>().unwrap() << 20) + count.parse::<u64>().unwrap();
    for hub in &hubs {
        while !hub.position().as_str().ends_with(&format!("-{newest}")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    for receiving in receiving {
        receiving.await.expect("a client");
    }
    Cost {
        redis: microseconds_per(server.processor_time() - redis, entries),
        own: microseconds_per(own_processor_time() - own, entries),
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
