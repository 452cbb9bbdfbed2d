//! Servers that write given bytes at given times.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use crate::support::listen;

pub(crate) const HEAD: &str =
    "200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache";

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Waits until this many milliseconds after the request.
    At(u64),
    Write(Vec<u8>),
    /// Writes each byte as a separate chunk.
    WriteBytes(Vec<u8>),
    /// Ends the chunked body.
    End,
    /// Closes the connection.
    Cut,
}

pub(crate) fn write(bytes: impl AsRef<[u8]>) -> Step {
    Step::Write(bytes.as_ref().to_vec())
}

/// A server's answer. The stream stays open unless a step ends it.
pub(crate) struct Answer {
    /// When to send the head, in milliseconds after the request.
    pub(crate) head_at: u64,
    /// If empty, the server doesn't answer.
    pub(crate) head: String,
    pub(crate) steps: Vec<Step>,
}

impl Answer {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { head_at: 0, head: HEAD.to_owned(), steps: steps.into_iter().collect() }
    }

    pub(crate) fn with_head(head: impl Into<String>) -> Self {
        Self { head: head.into(), ..Self::new([write("data: a\n\n"), Step::End]) }
    }
}

/// Returns the steps that write an event every `interval` milliseconds. The ids count from `first`.
pub(crate) fn events(first: u64, count: u64, interval: u64) -> impl Iterator<Item = Step> {
    (0..count).flat_map(move |n| {
        let event = format!("id: {0}\ndata: event {0}\n\n", first + n);
        [Step::At(n * interval), write(event)]
    })
}

pub(crate) fn late(steps: impl Iterator<Item = Step>, by: u64) -> impl Iterator<Item = Step> {
    steps.map(move |step| match step {
        Step::At(at) => Step::At(at + by),
        step => step,
    })
}

pub(crate) struct Request(pub(crate) String);

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.0
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }
}

/// Serves the answers in chunks. If a proxy requests over HTTP/1.0, the end of the connection ends
/// the body instead.
pub(crate) async fn serve(
    answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
) -> SocketAddr {
    let (listener, address) = listen().await;
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = Arc::clone(&answer);
            tokio::spawn(async move { respond(stream, &*answer).await });
        }
    });
    address
}

pub(crate) async fn serve_steps(steps: impl IntoIterator<Item = Step>) -> SocketAddr {
    let steps: Vec<_> = steps.into_iter().collect();
    serve(move |_| Answer::new(steps.clone())).await
}

async fn respond(stream: TcpStream, answer: &(impl Fn(&Request) -> Answer + ?Sized)) -> Option<()> {
    stream.set_nodelay(true).unwrap();
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if stream.read_line(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    let start = Instant::now();
    let is_chunked = request.lines().next()?.ends_with("HTTP/1.1");
    let Answer { head_at, head, steps } = answer(&Request(request));
    let framing = if is_chunked { "transfer-encoding: chunked" } else { "connection: close" };
    sleep_until(start + Duration::from_millis(head_at)).await;
    if !head.is_empty() {
        let head = format!("HTTP/1.1 {head}\r\n{framing}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
    }
    for step in steps {
        match step {
            Step::At(at) => sleep_until(start + Duration::from_millis(at)).await,
            Step::Write(bytes) if is_chunked => {
                let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat();
                stream.write_all(&chunk).await.ok()?;
            }
            Step::Write(bytes) => stream.write_all(&bytes).await.ok()?,
            Step::WriteBytes(bytes) => {
                let chunks =
                    bytes.into_iter().flat_map(|it| [b'1', b'\r', b'\n', it, b'\r', b'\n']);
                stream.write_all(&chunks.collect::<Vec<_>>()).await.ok()?;
            }
            Step::End if is_chunked => {
                stream.write_all(b"0\r\n\r\n").await.ok()?;
                stream.shutdown().await.ok()?;
                return None;
            }
            Step::End | Step::Cut => return None,
        }
    }
    loop {
        sleep(Duration::from_secs(60)).await;
    }
}
