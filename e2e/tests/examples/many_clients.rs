//! Streams on all cores, and the shutdown that ends them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::*;

#[tokio::test]
async fn many_clients_on_all_cores_resume_and_are_drained_at_sigterm() {
    let mut example = run("many_clients").await;
    let address = example.address;
    // Enough clients that the kernel hands some to each of the listeners.
    let mut clients = Vec::new();
    for _ in 0..64 {
        clients.push(open(address, "/", "").await);
    }
    let mut ids = Vec::new();
    for text in ["one", "two"] {
        post(address, "/", text).await;
        for client in &mut clients {
            let event = client.next().await.unwrap();
            assert_eq!(event.data, text);
            ids.push(event.last_event_id);
        }
    }
    let resumed = open(address, "/", &ids[0]).await.next().await.unwrap();
    assert_eq!((resumed.data.as_str(), &resumed.last_event_id), ("two", &ids[64]));
    example.signal("TERM");
    for client in &mut clients {
        // The stream ends between two events, with the last chunk: a cut would be an error.
        while let Some(event) = client.next().await {
            assert_eq!(event.data, "", "{event:?}");
        }
    }
    let printed = example.rest().await;
    assert_eq!(printed, ["65 opened, 65 closed"]);
    assert!(example.exited().await.success());
}

#[tokio::test]
async fn many_clients_ends_by_a_signal_as_soon_as_it_listens() {
    let mut example = run("many_clients").await;
    example.signal("TERM");
    assert!(example.exited().await.success());
}

#[tokio::test]
async fn many_clients_cuts_a_request_without_its_body_at_the_deadline() {
    let mut example = run("many_clients").await;
    let mut stream = TcpStream::connect(example.address).unwrap();
    let request = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = [0; 12];
    // The server waits for the body from here on.
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 100");
    let began = Instant::now();
    example.signal("TERM");
    assert!(example.exited().await.success());
    assert!(began.elapsed() >= Duration::from_secs(3));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn each_core_of_many_clients_listens() {
    let example = run("many_clients").await;
    let tcp = std::fs::read_to_string(format!("/proc/{}/net/tcp", example.id())).unwrap();
    let port = format!("0100007F:{:04X} 00000000:0000 0A", example.address.port());
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(tcp.matches(&port).count(), cores, "{tcp}");
}
