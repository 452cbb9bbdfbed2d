//! The service as a process, with the documented shutdown.

use super::support::client;
use crate::*;

/// Serves. The task is the server's address, the number of words, and the milliseconds between two
/// words and of the shutdown's grace.
#[test]
#[ignore = "the server of the tests in shutdown.rs, which start it in a process of its own"]
fn serves_until_sigterm() {
    let Some(task) = Process::task() else { return };
    let task: Vec<_> = task.split(' ').collect();
    let [address, words, gap, grace] = task[..] else { panic!("{task:?}") };
    let grace = Duration::from_millis(grace.parse().unwrap());
    let service = Service::new(Pace::new(words.parse().unwrap(), gap.parse().unwrap()), grace);
    Runtime::new().unwrap().block_on(async {
        let listener = TcpListener::bind(address).await.unwrap();
        let shutdown = CancellationToken::new();
        let app = service.app(shutdown.clone());
        sigterm::serve(listener, app, shutdown, service.drain(grace)).await;
    });
}

pub(crate) async fn start(address: SocketAddr, pace: Pace, grace: Duration) -> Process {
    let Pace { words, gap } = pace;
    let task = format!("{address} {words} {} {}", gap.as_millis(), grace.as_millis());
    Process::start("server::serves_until_sigterm", task).await
}

pub(crate) async fn calls(server: &Process) -> usize {
    use http_body_util::BodyExt;
    let response = client::get(server.address, "/calls", &[]).await;
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}
