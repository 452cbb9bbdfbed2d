//! The server process.

use crate::*;

const PERIOD: Duration = Duration::from_millis(100);

/// Serves until a SIGTERM, like the `main` of each example. The task is the name of a host.
#[test]
#[ignore = "the server of the tests beside it, which start it in a process of its own"]
fn serves_until_sigterm() {
    let Some(task) = Process::task() else { return };
    let (runtime, shutdown) = (Runtime::new().unwrap(), CancellationToken::new());
    let signalled = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Process::announce(listener.local_addr().unwrap());
        let host = Host::ALL.into_iter().find(|it| format!("{it:?}") == task).unwrap();
        let signalled = tokio::spawn(wait_for_signal(shutdown.clone()));
        serve(host, listener, shutdown).await;
        signalled.await.unwrap()
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    println!("exits {}", signalled.elapsed().as_millis());
}

async fn wait_for_signal(shutdown: CancellationToken) -> Instant {
    tower_sse::stop_on_signal(shutdown, Duration::ZERO).await.unwrap();
    Instant::now()
}

async fn serve(host: Host, listener: TcpListener, shutdown: CancellationToken) {
    let layer = SseLayer::new()
        .shutdown(shutdown.clone())
        .drain(Drain::at_once().retry(Retry::fixed(Duration::from_millis(1234))))
        .farewell(Event::new().event("restart").data("soon"));
    let handler = handler(|parts| answer(&parts));
    host.serve(listener, layer, handler, shutdown, 3 * PATIENCE).await;
}

/// Answers with a stream. The request's query is the stream's number, which is printed when the
/// stream closes.
fn answer(parts: &Parts) -> Response<Body> {
    let number = parts.uri.query().unwrap().to_owned();
    let mut response = Source::at(parts.uri.path()).answer(Some(PERIOD));
    let options = StreamOptions::new().without_retry();
    response.extensions_mut().insert(options.on_close(move |closed| {
        println!("closed {number} {}", closed.reason);
    }));
    response
}
