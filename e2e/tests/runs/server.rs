//! The service as a process, with the documented shutdown.

use std::{
    net::SocketAddr,
    ops::{Deref, DerefMut},
    time::Duration,
};

use tokio::{
    net::TcpListener,
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{support::client, *};

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
        let mut terminated = signal(SignalKind::terminate()).unwrap();
        let listener = TcpListener::bind(address).await.unwrap();
        let shutdown = CancellationToken::new();
        let app = service.app(shutdown.clone());
        Process::announce(listener.local_addr().unwrap());
        let server =
            axum::serve(listener, app).with_graceful_shutdown(shutdown.clone().cancelled_owned());
        let drain = async {
            terminated.recv().await;
            shutdown.cancel();
            service.drain(grace).await;
        };
        tokio::join!(server, drain).0.unwrap();
    });
}

pub(crate) struct Server(Process);

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.0
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.0
    }
}

impl Server {
    pub(crate) async fn start(address: SocketAddr, pace: Pace, grace: Duration) -> Self {
        let Pace { words, gap } = pace;
        let task = format!("{address} {words} {} {}", gap.as_millis(), grace.as_millis());
        Self(Process::start("server::serves_until_sigterm", task).await)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns how many answers the handlers of this process have made.
    pub(crate) async fn calls(&self) -> usize {
        use http_body_util::BodyExt;
        let response = client::get(self.address, "/calls", &[]).await;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }
}
