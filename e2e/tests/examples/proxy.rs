use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::*;

/// Answers the next request with this event, closes the connection, and returns the request.
async fn answer(upstream: &tokio::net::TcpListener, event: &str) -> String {
    let (mut stream, _) = soon(upstream.accept()).await.unwrap();
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        request.push(soon(stream.read_u8()).await.unwrap().into());
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    stream.write_all(format!("{head}{event}\n\n").as_bytes()).await.unwrap();
    request
}

#[tokio::test]
async fn client_notices_nothing_of_an_upstream_that_breaks_off() {
    let (upstream, address) = support::listen().await;
    let proxy = Example::spawn(Command::new(program("proxy")).arg(address.to_string()));
    let (response, _) = tokio::join!(
        client::get(proxy.address, "/news", &[("accept", "text/event-stream")]),
        answer(&upstream, "id: 7\ndata: one")
    );
    assert_eq!(response.headers()["incremental"], "?1");
    let mut news = EventReader::new(response);
    assert_eq!(news.next().await.unwrap().data, "one");
    let request = answer(&upstream, "data: two").await;
    assert!(request.starts_with("GET /news ") && request.contains("\r\nlast-event-id: 7\r\n"));
    assert_eq!(news.next().await.unwrap().data, "two");
}
