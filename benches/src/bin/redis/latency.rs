//! The time from a `publish` call to a client's frame.

use crate::*;

const SECONDS: usize = 5;

pub(crate) fn measure(server: &Server) {
    println!("\n## Delay\n");
    println!("From the call of `publish` to the frame of a client, for {SECONDS} seconds.\n");
    println!("| | events/s | clients | p50, µs | p99, µs |");
    println!("|---|---:|---:|---:|---:|");
    for (rate, clients) in [(100, 1), (1_000, 1), (100, 1_000)] {
        for name in NAMES {
            let mut delays = run(delays(server, name, rate, clients));
            delays.sort_unstable();
            let quantile = |of: usize| delays[(delays.len() - 1) * of / 100].as_micros();
            println!("| {name} | {rate} | {clients} | {} | {} |", quantile(50), quantile(99));
        }
    }
}

async fn delays(server: &Server, name: &str, rate: usize, clients: usize) -> Vec<Duration> {
    server.flush().await;
    let subject = Subject::connect(server, name).await;
    let count = rate * SECONDS;
    let origin = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..clients {
        let frames = subject.client().await;
        tasks.push(tokio::spawn(async move {
            let mut delays = Vec::with_capacity(count);
            receive(frames, count, |data| {
                let sent = Duration::from_nanos(data.parse().expect("a time"));
                delays.push(origin.elapsed() - sent);
            })
            .await;
            delays
        }));
    }
    let mut ticks = interval(Duration::from_secs(1) / rate as u32);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for _ in 0..count {
        ticks.tick().await;
        subject.publish(origin.elapsed().as_nanos().to_string()).await;
    }
    let mut delays = Vec::new();
    for task in tasks {
        delays.extend(task.await.expect("a client"));
    }
    delays
}
