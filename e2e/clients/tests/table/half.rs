//! An answer that breaks off in the middle of an event.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{driver::Shared, origin::BACK, origin::Stage, situations::Facts};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n\
                    transfer-encoding: chunked\r\n\r\n";

/// The part of the second event's data that the first answer has, and all of this data.
const HALF: &str = "222";
const WHOLE: &str = "222222";

async fn write(stream: &mut TcpStream, text: &str) {
    let chunk = format!("{:x}\r\n{text}\r\n", text.len());
    let _ = stream.write_all(chunk.as_bytes()).await;
}

/// Reads the head of a request and returns its last event id.
async fn request(stream: &mut TcpStream) -> Option<usize> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let id = head.lines().find_map(|line| line.strip_prefix("last-event-id:"));
    Some(id.and_then(|id| id.trim().parse().ok()).unwrap_or(0))
}

/// The first answer breaks off within its second event. Later ones are whole.
async fn serve(listener: TcpListener, shared: Shared) {
    let mut first = true;
    let mut open = Vec::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let Some(last) = request(&mut stream).await else { continue };
        shared.change(|seen| seen.requests.push(Instant::now()));
        let _ = stream.write_all(HEAD.as_bytes()).await;
        write(&mut stream, "retry: 300\n").await;
        if first {
            write(&mut stream, "data: 1\nid: 1\n\n").await;
            shared.until(BACK, |seen| seen.has(1)).await;
            write(&mut stream, &format!("data: {HALF}")).await;
            first = false;
            continue;
        }
        for (number, data) in [(1, "1"), (2, WHOLE), (3, "3")] {
            if number > last {
                write(&mut stream, &format!("data: {data}\nid: {number}\n\n")).await;
            }
        }
        open.push(stream);
    }
}

pub(crate) async fn half(stage: &Stage) -> Facts {
    let server = tokio::spawn(serve(stage.listen(), stage.shared.clone()));
    let mut facts = Facts { came: stage.came().await, ..Facts::default() };
    let returned = facts.came && stage.returned(1, 1).await;
    facts.back = returned && stage.receives(3).await;
    let has = |data: &str| stage.shared.lock().received.iter().any(|it| it.data == data);
    facts.half = has(HALF);
    facts.lost = usize::from(facts.back && !has(WHOLE));
    facts.reported = stage.shared.lock().over.as_ref().is_some_and(|error| !error.is_empty());
    server.abort();
    facts
}
