//! A Redis server for these tests.

use std::process::Stdio;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::patience::until_async;
use crate::port::free_port;
use crate::tool::find;

/// A Redis server that keeps nothing. Dropping it kills it.
pub(crate) struct Redis {
    _child: Child,
    port: u16,
}

impl Redis {
    /// Returns `None`, and prints the reason, if `redis-server` is not installed.
    pub(crate) async fn start() -> Option<Self> {
        let port = free_port();
        let mut command = Command::new(find(&["redis-server"])?);
        command.args(["--bind", "127.0.0.1", "--appendonly", "no", "--save", "", "--port"]);
        let child = command.arg(port.to_string()).stdout(Stdio::null()).kill_on_drop(true).spawn();
        until_async(async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        Some(Self { _child: child.unwrap(), port })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }
}
