use crate::*;

/// Events of one round: a multiple of each burst.
const EVENTS: u64 = 19_200;
/// The approximate size of a recorded event, in bytes.
const RECORDED: usize = 60;
const BURSTS: [(&str, u64); 2] = [("one at a time", 1), ("bursts of 64", 64)];

pub(crate) fn measure(runtime: &Rc<Runtime>) {
    println!("\n## An event\n");
    println!(
        "Its data is a `String` of 30 bytes. From its creation to the frame for the client.\n"
    );
    println!("A source, a publisher and a client are scheduled in turn; bytes are those that");
    println!(
        "the client receives. The record and the hub are new in each round and have default limits.\n"
    );
    rounds::print(&mut cases(runtime), EVENTS);
}

pub(crate) fn cases(runtime: &Rc<Runtime>) -> Vec<Case> {
    let text = payload::line(30);
    let mut cases = Vec::new();
    for (work, burst) in BURSTS {
        let case = |subject, run: fn(&Runtime, u64, u64, &'static str) -> u64| {
            let runtime = Rc::clone(runtime);
            Case::new(work, subject, move |events| run(&runtime, events, burst, text))
        };
        cases.extend([
            case("plain `EventBody`", plain),
            case("run, one client", attached),
            case("run that keeps as much as the hub", attached_with_small_record),
            case("run, no client", unattended),
            case("hub, one client", published),
        ]);
    }
    cases
}

fn plain(runtime: &Runtime, events: u64, burst: u64, text: &'static str) -> u64 {
    let service = service_fn(move |_: Request<()>| {
        ready(Ok::<_, Infallible>(paced::response(events, burst, text)))
    });
    runtime.block_on(read(SseLayer::new().layer(service), Arc::default()))
}

fn attached(runtime: &Runtime, events: u64, burst: u64, text: &'static str) -> u64 {
    read_run(&Runs::new(), runtime, events, burst, text)
}

/// Keeps about as many events as a topic of the hub, which keeps 1,024.
fn attached_with_small_record(
    runtime: &Runtime,
    events: u64,
    burst: u64,
    text: &'static str,
) -> u64 {
    let runs = Runs::builder().retain_bytes(1024 * (RECORDED + 112)).build();
    read_run(&runs, runtime, events, burst, text)
}

fn read_run(runs: &Runs, runtime: &Runtime, events: u64, burst: u64, text: &'static str) -> u64 {
    runtime.block_on(read(recorded(runs, events, burst, text), Arc::default()))
}

fn unattended(runtime: &Runtime, events: u64, burst: u64, text: &'static str) -> u64 {
    let runs = Runs::new();
    runtime.block_on(async {
        let service = recorded(&runs, events, burst, text);
        let client = tokio::spawn(async { drop(call(service).await) });
        client.await.expect("a client");
        let run = runs.get(&key()).await.expect("a run");
        assert_eq!(run.ended().await, Some(Outcome::Completed));
    });
    let stats = runs.stats();
    assert_eq!(stats.events, events);
    0
}

/// Publishes from one publisher, which is scheduled as a source is, to one client.
fn published(runtime: &Runtime, events: u64, burst: u64, text: &'static str) -> u64 {
    let hub = Hub::new();
    let is_over = Arc::new(AtomicBool::new(false));
    runtime.block_on(async {
        let subscriber = hub.clone();
        let service = service_fn(move |_: Request<()>| {
            let subscription = subscriber.subscribe_to("news").resume(None);
            ready(Ok::<_, Infallible>(tower_sse::response(subscription)))
        });
        // The client subscribes before the publisher is scheduled.
        let client = read(SseLayer::new().layer(service), Arc::clone(&is_over));
        let mut client = pin!(client);
        assert!(poll_fn(|cx| Poll::Ready(client.as_mut().poll(cx).is_pending())).await);
        let mut left = events;
        let publisher = poll_fn(move |cx| {
            for _ in 0..burst.min(left) {
                let published = hub.publish_now("news", paced::event(text));
                _ = black_box(published.expect("an event that can be published"));
            }
            left -= burst.min(left);
            if left == 0 {
                // The client runs after this: the last event has woken it.
                is_over.store(true, Relaxed);
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        tokio::spawn(publisher).await.expect("a publisher");
        client.await
    })
}

fn key() -> RunKey {
    RunKey::shared("a run").expect("a key")
}

fn recorded(
    runs: &Runs,
    events: u64,
    burst: u64,
    text: &'static str,
) -> impl Service<
    Request<()>,
    Response = Response<impl Body<Data = Bytes, Error: Debug> + Send + 'static>,
    Error = Infallible,
    Future: Send,
> + Send
+ 'static {
    let service = service_fn(move |_: Request<()>| {
        ready(Ok::<_, Infallible>(paced::response(events, burst, text)))
    });
    SseLayer::new().layer(runs.layer(|_: &Request<()>| Some(Ok(key()))).layer(service))
}

async fn call<S, B>(service: S) -> Response<B>
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
{
    let Ok(response) = service.oneshot(Request::new(())).await;
    response
}

/// Calls a service and reads its response on a task of its own. The future that a runtime blocks on
/// is polled only after 61 tasks, so a run would be far ahead of its client.
async fn read<S, B>(service: S, is_over: Arc<AtomicBool>) -> u64
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible, Future: Send>,
    S: Send + 'static,
    B: Body<Data = Bytes, Error: Debug> + Send + 'static,
{
    let client = async { frames(call(service).await, is_over).await };
    tokio::spawn(client).await.expect("a client")
}

/// Reads the frames of a response until its end, or until nothing is ready after `is_over`. Returns
/// their bytes.
async fn frames<B>(response: Response<B>, is_over: Arc<AtomicBool>) -> u64
where
    B: Body<Data = Bytes, Error: Debug>,
{
    let mut body = pin!(response.into_body());
    let mut bytes = 0;
    poll_fn(|cx| {
        loop {
            match body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(frame)) => {
                    if let Ok(data) = frame.expect("a body that does not fail").into_data() {
                        bytes += data.len() as u64;
                        black_box(data);
                    }
                }
                Poll::Pending if !is_over.load(Relaxed) => return Poll::Pending,
                Poll::Ready(None) | Poll::Pending => return Poll::Ready(()),
            }
        }
    })
    .await;
    bytes
}
