//! How fast a new process loads its history, and for how long at a time this keeps its thread busy.

use crate::*;

const ENTRIES: usize = 300_000;

pub(crate) fn measure(server: &Server) {
    println!("\n## Loading the history\n");
    println!("{ENTRIES} entries of 256 bytes, while another task is always ready.\n");
    println!(
        "| topics | entries/s | this process, µs/entry | Redis, µs/entry | longest hold, ms |"
    );
    println!("|---:|---:|---:|---:|---:|");
    for topics in [10, 1_000, 100_000] {
        let row = run(LocalSet::new().run_until(load(server, topics)));
        println!(
            "| {topics} | {:.0} | {:.1} | {:.1} | {:.1} |",
            ENTRIES as f64 / row.time.as_secs_f64(),
            microseconds_per(row.own, ENTRIES),
            microseconds_per(row.redis, ENTRIES),
            row.longest_hold.as_secs_f64() * 1e3,
        );
    }
}

struct Row {
    time: Duration,
    own: Duration,
    redis: Duration,
    longest_hold: Duration,
}

async fn load(server: &Server, topics: usize) -> Row {
    server.flush().await;
    let mut connection = server.connection().await;
    for page in 0..ENTRIES / 1_000 {
        let mut pipeline = redis::pipe();
        for entry in 0..1_000 {
            let topic = format!("topic {}", (page * 1_000 + entry) % topics);
            let mut command = redis::cmd("XADD");
            command.arg("tower-sse").arg("*").arg("topic").arg(topic);
            pipeline.add_command(command.arg("data").arg("x".repeat(256)).clone());
        }
        let _: Vec<String> = pipeline.query_async(&mut connection).await.expect("entries");
    }
    let is_done = Rc::new(Cell::new(false));
    let witness = spawn_local(witness(Rc::clone(&is_done)));
    let (started, own, redis) = (Instant::now(), own_processor_time(), server.processor_time());
    let hub = Hub::builder().connect(server.broker()).await.expect("a server");
    let (time, own) = (started.elapsed(), own_processor_time() - own);
    is_done.set(true);
    let longest_hold = witness.await.expect("a witness");
    let stats = hub.stats();
    assert!(stats.events as u64 + stats.evicted == ENTRIES as u64, "{stats:?}");
    Row { time, own, redis: server.processor_time() - redis, longest_hold }
}

/// Returns the longest time for which this task could not run.
async fn witness(is_done: Rc<Cell<bool>>) -> Duration {
    let mut longest = Duration::ZERO;
    while !is_done.get() {
        let yielded = Instant::now();
        yield_now().await;
        longest = longest.max(yielded.elapsed());
    }
    longest
}
