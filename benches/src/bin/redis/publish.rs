//! How many events a second one process can publish if it awaits each acknowledgement.

use crate::*;

const TOTAL: usize = 200_000;

pub(crate) fn measure(server: &Server) {
    println!("\n## Publishing\n");
    println!(
        "Events of 256 bytes, acknowledged one by one, and one client that receives all of them.\n"
    );
    println!("| | publishers | events/s | this process, µs/event | Redis, µs/event |");
    println!("|---|---:|---:|---:|---:|");
    for name in NAMES {
        for publishers in [1, 10, 50, 200] {
            let (time, own, redis, total) = run(publish(server, name, publishers));
            println!(
                "| {name} | {publishers} | {:.0} | {:.1} | {:.1} |",
                total as f64 / time.as_secs_f64(),
                microseconds_per(own, total),
                microseconds_per(redis, total),
            );
        }
    }
}

async fn publish(
    server: &Server,
    name: &str,
    publishers: usize,
) -> (Duration, Duration, Duration, usize) {
    server.flush().await;
    let total = if publishers == 1 { TOTAL / 10 } else { TOTAL };
    let subject = Subject::connect(server, name).await;
    let client = tokio::spawn(receive(subject.client().await, total, |_| {}));
    tokio::task::yield_now().await;
    let (started, own, redis) = (Instant::now(), own_processor_time(), server.processor_time());
    let publishers = (0..publishers).map(|_| {
        let subject = subject.clone();
        tokio::spawn(async move {
            for _ in 0..total / publishers {
                subject.publish("x".repeat(256)).await;
            }
        })
    });
    for publisher in publishers.collect::<Vec<_>>() {
        publisher.await.expect("a publisher");
    }
    let time = started.elapsed();
    client.await.expect("a client");
    (time, own_processor_time() - own, server.processor_time() - redis, total)
}
