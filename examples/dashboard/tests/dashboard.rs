//! The program as `cargo run` starts it. Its page is tested in `e2e/tests/browser`.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::{net::TcpStream, process::Command};

#[path = "../../../tests/support/programs.rs"]
mod support;

#[tokio::test]
async fn dashboard_sends_samples() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dashboard"));
    let dashboard = support::Process::serve(command.env("PORT", "0")).await;
    let mut stream = TcpStream::connect(dashboard.address).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut next = async || support::soon(lines.next_line()).await.unwrap().expect("a line");
    while next().await != "event: sample" {}
    let data = next().await;
    assert!(data.starts_with(r#"data: {"number":1,"#), "{data}");
}
