use tower_sse_benches::drain::drain;

use super::rounds::Cost;
use crate::*;

const EVENTS: u64 = 100_000;
/// `data: ` and the line ends.
const FRAMING: usize = 8;

pub(crate) fn measure(runtime: &Runtime) {
    println!("\n## Replay\n");
    println!("One client attaches to a completed run of {EVENTS} events and reads all of them.\n");
    println!(
        "| | event of the source, bytes | recorded, bytes | M events/s | best | GB/s | best |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for size in [30, 230] {
        let (_runs, run) = runtime.block_on(completed(payload::line(size - FRAMING)));
        let mut cases = [
            Case::new("", "run", bare(run.clone())),
            Case::new("", "within `SseLayer`", layered(run)),
        ];
        let costs = rounds::run(&mut cases, EVENTS);
        for (Cost { median, minimum, bytes, .. }, case) in costs.iter().zip(&cases) {
            println!(
                "| {} | {size} | {bytes:.1} | {:.1} | {:.1} | {:.2} | {:.2} |",
                case.subject,
                1e3 / median,
                1e3 / minimum,
                bytes / median,
                bytes / minimum,
            );
        }
    }
}

async fn completed(text: &'static str) -> (Runs, Run) {
    let runs = Runs::builder()
        .retain_bytes(64 << 20)
        .retain_for(Duration::from_secs(3600))
        .max_memory(1 << 30)
        .build();
    let key = RunKey::shared("a run").expect("a key");
    let source = || stream::iter((0..EVENTS).map(move |_| event(text)));
    let run = runs.start(&key, None, source).await.expect("a run");
    assert_eq!(run.ended().await, Some(Outcome::Completed));
    assert_eq!(runs.stats().events, EVENTS);
    (runs, run)
}

fn bare(run: Run) -> impl FnMut(u64) -> u64 {
    let (parts, ()) = Request::new(()).into_parts();
    move |_| drain(now(run.answer(&parts)).into_body())
}

fn layered(run: Run) -> impl FnMut(u64) -> u64 {
    let mut service = SseLayer::new().layer(service_fn(move |request: Request<()>| {
        let run = run.clone();
        async move { Ok::<_, Infallible>(run.answer(&request.into_parts().0).await) }
    }));
    move |_| {
        let Ok(response) = now(service.call(Request::new(())));
        drain(response.into_body())
    }
}
