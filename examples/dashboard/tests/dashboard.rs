//! The program as `cargo run` starts it. Its page is tested in `e2e/tests/browser`.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// The dashboard, killed when this is dropped.
struct Dashboard(Child);

impl Drop for Dashboard {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[test]
fn dashboard_sends_samples() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dashboard"));
    let child = command.env("PORT", "0").stdout(Stdio::piped()).spawn().unwrap();
    let mut dashboard = Dashboard(child);
    let mut first = String::new();
    BufReader::new(dashboard.0.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let address = first.trim_end().strip_prefix("listening on http://").expect("an address");

    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "GET /events HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    lines.find(|line| line == "event: sample").expect("an event");
    let data = lines.find(|line| line.starts_with("data: ")).expect("a sample");
    assert!(data.starts_with(r#"data: {"number":1,"#), "{data}");
}
