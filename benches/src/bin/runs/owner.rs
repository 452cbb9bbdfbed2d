use nix::time::{ClockId, clock_gettime};

use crate::*;

/// The number of runs at a time.
const RUNS: u64 = 64;
/// The time between two events of a run.
const GAP: Duration = Duration::from_millis(20);
const PORT: u16 = 17_935;

/// Runs [`RUNS`] answers of `events` events each, 50 a second, with one client each at the owner.
/// No client reads them at another process. With `subject` `connected`, the runs are shared over
/// Redis.
pub(crate) fn run(subject: &str, events: u64) {
    let server = (subject == "connected").then(Server::start);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let limits = Runs::builder().max_running_per_owner(RUNS as usize);
        let runs = match &server {
            Some(server) => limits.connect(server.redis().await).await.expect("a server"),
            None => limits.build(),
        };
        let before = processor_time();
        let frames = join_all((0..RUNS).map(|run| read(runs.clone(), run, events))).await;
        // On a busy machine, events share frames and cost less, so the frames are printed too.
        let frames = frames.into_iter().sum::<u64>() as f64 / (RUNS * events) as f64;
        let used = (processor_time() - before).as_secs_f64() * 1e6 / (RUNS * events) as f64;
        println!("{subject}: {used:.2} us of processor time and {frames:.2} frames an event");
    });
}

/// Returns the processor time of this process, without Redis.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("a clock").into()
}

/// Starts a run, reads it and returns the number of its frames.
async fn read(runs: Runs, run: u64, events: u64) -> u64 {
    let text = payload::line(30);
    let service = service_fn(move |_: Request<()>| {
        let ticks = stream::unfold(interval(GAP), |mut ticks| async {
            ticks.tick().await;
            Some(((), ticks))
        });
        let events = ticks.take(events as usize).map(move |()| paced::event(text));
        ready(Ok::<_, Infallible>(tower_sse::response(events)))
    });
    let key = move |_: &Request<()>| Some(RunKey::new("ann", format!("turn-{run}")));
    let service = SseLayer::new().layer(runs.layer(key).layer(service));
    let Ok(response): Result<Response<_>, Infallible> = service.oneshot(Request::new(())).await;
    let mut body = std::pin::pin!(response.into_body());
    let mut frames = 0;
    while let Some(frame) = body.frame().await {
        frame.expect("a body that does not fail");
        frames += 1;
    }
    frames
}

struct Server(Child);

impl Server {
    fn start() -> Self {
        let mut server = Command::new("redis-server");
        server.args(["--port", &PORT.to_string(), "--save", ""]).stdout(Stdio::null());
        Self(server.spawn().expect("redis-server"))
    }

    async fn redis(&self) -> RedisRuns {
        while TcpStream::connect(("127.0.0.1", PORT)).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
        Redis::open(&format!("redis://127.0.0.1:{PORT}/")).expect("a URL").runs("app")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}
