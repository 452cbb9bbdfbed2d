use allocation_counter::measure as count;

use crate::*;

const RUNS: usize = 1_000;

pub(crate) fn measure() {
    println!("\n## An idle run without clients\n");
    println!("{RUNS} runs of {RUNS} owners, which wait for their source; bytes per run.\n");
    println!(
        "| events | on the wire | `RunsStats::memory` | besides its bytes | allocator \
         | besides its bytes | peak |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|");
    for events in [0, 1, 10] {
        let runs = Runs::new();
        // The case has a runtime of its own, so that the lists of tasks and timers are counted too.
        let runtime = runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime without I/O");
        let counted = count(|| runtime.block_on(start(&runs, events)));
        let memory = runs.stats().memory / RUNS;
        assert_eq!((runs.stats().running, runs.stats().attached), (RUNS, 0));
        let allocated = usize::try_from(counted.bytes_current).expect("memory in use") / RUNS;
        let peak = counted.bytes_max as usize / RUNS;
        let run = now(runs.get(&key(0))).expect("a run");
        let wire = wire(&run);
        println!(
            "| {events} | {wire} | {memory} | {} | {allocated} | {} | {peak} |",
            memory - wire,
            allocated - wire,
        );
    }
}

fn key(number: usize) -> RunKey {
    RunKey::new(format!("user-{number:04}"), format!("turn-{number:04}")).expect("a key")
}

/// Starts all runs and waits until each is waiting for its source.
async fn start(runs: &Runs, events: usize) {
    let text = payload::line(30);
    let waiting = Arc::new(AtomicUsize::new(0));
    for number in 0..RUNS {
        let waiting = Arc::clone(&waiting);
        let source = move || {
            let (mut left, mut is_counted) = (events, false);
            stream::poll_fn(move |_| {
                if left > 0 {
                    left -= 1;
                    return Poll::Ready(Some(event(text)));
                }
                if !is_counted {
                    is_counted = true;
                    waiting.fetch_add(1, Relaxed);
                }
                Poll::Pending
            })
        };
        runs.start(&key(number), None, source).await.expect("a run");
    }
    while waiting.load(Relaxed) < RUNS {
        yield_now().await;
    }
}

/// Returns the number of bytes that a client gets before it has to wait.
fn wire(run: &Run) -> usize {
    let (parts, ()) = Request::new(()).into_parts();
    let mut body = pin!(now(run.answer(&parts)).into_body());
    let mut cx = Context::from_waker(Waker::noop());
    let mut bytes = 0;
    while let Poll::Ready(frame) = body.as_mut().poll_frame(&mut cx) {
        let frame = frame.expect("a run that goes on").expect("a body that does not fail");
        bytes += frame.into_data().map_or(0, |data| data.len());
    }
    bytes
}
