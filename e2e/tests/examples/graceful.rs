//! The output of the graceful shutdown examples. Neither client reads on: the clock's events fit
//! into the sockets' buffers, and the flood's don't.

use std::io::{Read, Write};
use std::{net::TcpStream, time::Instant};

use crate::*;

/// Opens a client that has read the beginning of an event and reads no more.
fn open(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut begin = Vec::new();
    while !begin.windows(6).any(|bytes| bytes == b"data: ") {
        let mut byte = [0];
        // Unlike `read`, this goes on after a signal, such as that of a child's end.
        stream.read_exact(&mut byte).unwrap();
        begin.extend(byte);
    }
    stream
}

async fn is_cut_at_the_deadline(name: &str) {
    let mut example = run(name).await;
    let flood = open(example.address, "/flood");
    // The example for hyper serves a clock at every path except `/flood`.
    let clock = open(example.address, "/events");
    let began = Instant::now();
    example.signal("TERM");
    let printed = example.rest().await;
    assert!(example.exited().await.success());
    assert!(began.elapsed() >= Duration::from_secs(3), "{name}: {printed:?}");
    let [first, second, count] = &printed[..] else { panic!("{name}: {printed:?}") };
    assert!(first.starts_with("drained after "), "{name}: {printed:?}");
    assert!(second.starts_with("disconnected after "), "{name}: {printed:?}");
    let cut = if name == "graceful_hyper" { "connections cut: 1" } else { "1 of them cut" };
    assert_eq!(*count, format!("2 opened, 2 closed, {cut}"), "{name}");
    drop((flood, clock));
}

#[tokio::test]
async fn deadline_cuts_the_client_that_does_not_read() {
    let names = ["graceful_axum", "graceful_hyper", "graceful_tonic"];
    join_all(names.map(is_cut_at_the_deadline)).await;
}
