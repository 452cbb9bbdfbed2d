//! How Caddy stops while a stream is open. Run by `.ci/slow hops`.

use std::fs;
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::server::{serve_steps, write};
use crate::support::{Directory, free_port, target, until_async};

/// A Caddy that was asked to stop while this stream was open.
struct Stopping {
    process: Child,
    _stream: TcpStream,
    _directory: Directory,
}

async fn stop(globals: &str) -> Stopping {
    let origin = serve_steps([write("data: 1\n\n")]).await;
    let (port, directory) = (free_port(), Directory::new("caddy"));
    let file = directory.path().join("Caddyfile");
    let site = format!("http://:{port} {{\n bind 127.0.0.1\n reverse_proxy {origin}\n}}\n");
    fs::write(&file, format!("{{\n admin off\n auto_https off\n {globals}\n}}\n{site}")).unwrap();
    let mut command = Command::new(target("hops/bin/caddy"));
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
    command.env("HOME", directory.path()).env_remove("XDG_DATA_HOME");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let process = command.spawn().unwrap();
    until_async(async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    let pid = process.id().unwrap().to_string();
    assert!(Command::new("kill").arg(pid).status().await.unwrap().success());
    Stopping { process, _stream: stream, _directory: directory }
}

#[tokio::test]
#[ignore = "needs hops that `.ci/slow hops` installs"]
async fn caddy_stops_with_open_streams_only_after_a_grace_period() {
    let mut without = stop("").await;
    let mut with = stop("grace_period 2s").await;
    assert!(with.process.wait().await.unwrap().success());
    assert!(without.process.try_wait().unwrap().is_none(), "it waits for the stream");
}
