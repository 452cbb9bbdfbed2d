//! The server behind a hop: plays the script that a request names and reports what it has seen.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::{future::pending, io, time::Duration};

use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::recording::lock;

/// The beginning of a query parameter, followed by the name of a script or a question, a dot and a
/// request's id. Some questions have no id.
pub(crate) const PARAMETER: &str = "sse-check=";
/// The body of each `POST` request.
pub(crate) const BODY: &str = "{\"stream\":true}";
/// The headers that tell proxies that an answer is a stream.
pub(crate) const GUARDED: [(&str, &str); 4] = [
    ("content-type", "text/event-stream"),
    ("cache-control", "no-cache, no-transform"),
    ("x-accel-buffering", "no"),
    ("incremental", "?1"),
];
/// How long the origin refuses connections after the question `down`. The observer waits for less
/// time than this for an answer with [`EVENTS`].
const DOWN: Duration = Duration::from_secs(10);
/// The number of requests that the origin remembers.
const REMEMBERED: usize = 4096;
const MAX_REQUEST: usize = 64 << 10;

/// What follows the events of a script.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    /// The chunk that ends the body.
    Clean,
    /// Silence: the stream stays open.
    Open,
    /// The end of the connection, without the last chunk.
    Fin,
    /// A reset of the connection.
    Reset,
}

/// An answer: a head, sent at once, and events.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) name: &'static str,
    /// Whether the answer has all headers in [`GUARDED`], not only the content type.
    is_guarded: bool,
    /// The time between the head and the first event.
    pub(crate) delay: Duration,
    pub(crate) count: usize,
    /// An event's size in bytes.
    pub(crate) size: usize,
    interval: Duration,
    ending: Ending,
}

const fn script(name: &'static str, count: usize, interval: u64, ending: Ending) -> Script {
    let (delay, interval) = (Duration::ZERO, Duration::from_millis(interval));
    Script { name, is_guarded: true, delay, count, size: 60, interval, ending }
}

pub(crate) const EVENTS: Script = script("events", 8, 300, Ending::Clean);
pub(crate) const BARE: Script = Script { name: "bare", is_guarded: false, ..EVENTS };
pub(crate) const LATE: Script =
    Script { delay: Duration::from_secs(1), ..script("late", 1, 0, Ending::Clean) };
/// Enough bytes to fill most buffers.
pub(crate) const FILL: Script = Script { size: 1024, ..script("fill", 256, 10, Ending::Clean) };
pub(crate) const FILL_BARE: Script = Script { name: "fill-bare", is_guarded: false, ..FILL };
pub(crate) const BUSY: Script = script("busy", usize::MAX, 300, Ending::Open);
pub(crate) const QUIET: Script = script("quiet", 1, 0, Ending::Open);
pub(crate) const FIN: Script = script("fin", 3, 100, Ending::Fin);
pub(crate) const RESET: Script = script("reset", 3, 100, Ending::Reset);
const SCRIPTS: [Script; 9] = [EVENTS, BARE, LATE, FILL, FILL_BARE, BUSY, QUIET, FIN, RESET];

impl Script {
    /// Returns how long the answer takes to end, or `None` if it stays open.
    pub(crate) fn length(&self) -> Option<Duration> {
        let count = u32::try_from(self.count).ok().filter(|_| self.ending != Ending::Open)?;
        Some(self.delay + self.interval * count)
    }

    pub(crate) fn event(&self, number: usize) -> String {
        let start = format!("id: {number}\ndata: ");
        let padding = self.size.saturating_sub(start.len() + 2);
        format!("{start}{}\n\n", "x".repeat(padding))
    }

    /// Writes the answer. An error means that the client has left.
    async fn write(
        &self,
        stream: &mut (impl AsyncWriteExt + Unpin),
        is_chunked: bool,
        seen: &Mutex<Seen>,
    ) -> io::Result<()> {
        let (began, framing) = (Instant::now(), "transfer-encoding: chunked\r\n");
        let headers = &GUARDED[..if self.is_guarded { GUARDED.len() } else { 1 }];
        let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let headers = headers.collect::<String>() + if is_chunked { framing } else { "" };
        stream.write_all(format!("HTTP/1.1 200 OK\r\n{headers}\r\n").as_bytes()).await?;
        sleep(self.delay).await;
        for number in 0..self.count {
            let event = self.event(number);
            let chunk = format!("{:x}\r\n{event}\r\n", event.len());
            lock(seen).writes.push(began.elapsed().as_secs_f64() * 1000.0);
            stream.write_all(if is_chunked { &chunk } else { &event }.as_bytes()).await?;
            // Before a cut, sleep after the last event too, so that it is sent. The end itself comes
            // at once: a hop that keeps each event until the next one delays the last one least.
            if number + 1 < self.count || self.ending != Ending::Clean {
                sleep(self.interval).await;
            }
        }
        match self.ending {
            Ending::Open => pending().await,
            Ending::Clean if is_chunked => stream.write_all(b"0\r\n\r\n").await,
            _ => Ok(()),
        }
    }
}

/// What the origin knows about a request.
#[derive(Debug, Default)]
struct Seen {
    head: Value,
    /// When each event was sent, in milliseconds after the request arrived.
    writes: Vec<f64>,
    /// Whether the client left before the answer's end.
    has_left: bool,
    /// Whether the answer to a request with the same id was still being sent when this one arrived.
    is_second: bool,
}

/// The requests with their ids, the newest first.
type Log = Mutex<VecDeque<(String, Arc<Mutex<Seen>>)>>;

/// Serves until it can't listen again after the question `down`.
pub(crate) async fn serve(mut listener: TcpListener) -> io::Result<()> {
    let (address, log) = (listener.local_addr()?, Arc::new(Log::default()));
    loop {
        let (cut, mut cuts) = channel(1);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    // If no descriptor is free, the next attempt would fail at once, so wait.
                    let Ok((stream, _)) = accepted else { sleep(DOWN / 100).await; continue };
                    let (log, cut) = (Arc::clone(&log), cut.clone());
                    connections.spawn(async move { _ = converse(stream, &log, &cut).await });
                }
                Some(_) = connections.join_next() => {}
                Some(goes_away) = cuts.recv() => {
                    if goes_away { break }
                    connections.shutdown().await;
                }
            }
        }
        drop(listener);
        connections.shutdown().await;
        sleep(DOWN).await;
        listener = TcpListener::bind(address).await?;
    }
}

/// Sends `cut` whether the origin must go away, or only cut its connections.
async fn converse(mut stream: TcpStream, log: &Log, cut: &Sender<bool>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some((head, is_chunked)) = read_request(&mut stream, &mut buffer).await? {
        let target = head["target"].as_str().unwrap_or_default();
        let (_, named) = target.split_once(PARAMETER).unwrap_or_default();
        let named = named.split('&').next().and_then(|it| it.split_once('.'));
        let (name, id) = named.unwrap_or_default();
        let Some(script) = SCRIPTS.iter().find(|script| script.name == name) else {
            stream.write_all(report(name, id, log).as_bytes()).await?;
            if ["cut", "down"].contains(&name) {
                _ = cut.send(name == "down").await;
            }
            return stream.shutdown().await;
        };
        let is_second = lock(log).iter().filter(|(known, _)| known == id).any(|(_, first)| {
            let first = lock(first);
            first.writes.len() < script.count && !first.has_left
        });
        let seen = Seen { head: head.clone(), is_second, ..Seen::default() };
        let seen = Arc::new(Mutex::new(seen));
        lock(log).push_front((id.to_owned(), Arc::clone(&seen)));
        lock(log).truncate(REMEMBERED);
        let (mut reader, mut writer) = stream.split();
        let is_written = tokio::select! {
            result = script.write(&mut writer, is_chunked, &seen) => result.is_ok(),
            () = gone(&mut reader) => false,
        };
        lock(&seen).has_left = !is_written;
        if script.ending == Ending::Reset {
            return reset(&stream);
        } else if !is_written || script.ending == Ending::Fin || !is_chunked {
            return Ok(());
        }
    }
    Ok(())
}

/// Returns the answer to a question, with what the origin has seen of the request with this id.
fn report(question: &str, id: &str, log: &Log) -> String {
    let log = lock(log);
    let mut same = log.iter().filter(|(known, _)| known == id).map(|(_, seen)| lock(seen));
    // The newest one is first. A hop may have sent a single request twice.
    let newest = same.next();
    let oldest = same.next_back();
    let is_second = newest.as_ref().filter(|_| oldest.is_some()).map(|newest| newest.is_second);
    let seen = oldest.or(newest).map(|seen| {
        let Seen { head, writes, has_left, .. } = &*seen;
        json!({ "head": head, "writes": writes, "has_left": has_left, "is_second": is_second })
    });
    let body = json!({ "sse-check": question, "seen": seen }).to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
    format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Waits until the peer has closed the connection.
async fn gone(reader: &mut (impl AsyncReadExt + Unpin)) {
    while matches!(reader.read(&mut [0; 1024]).await, Ok(1..)) {}
}

#[expect(
    deprecated,
    reason = "a linger of zero doesn't block, and its successor is newer than 1.49"
)]
fn reset(stream: &TcpStream) -> io::Result<()> {
    stream.set_linger(Some(Duration::ZERO))
}

/// Reads a request with its body. Returns the request and whether the answer can be chunked, or
/// `None` if the connection ends first, or after [`MAX_REQUEST`] bytes of an incomplete request.
async fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<(Value, bool)>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|it| it == b"\r\n\r\n") {
            let (head, body) = buffer.split_at(end + 4);
            let head = String::from_utf8_lossy(head).into_owned();
            let mut lines = head.lines();
            let mut first = lines.next().unwrap_or_default().split(' ');
            let [method, target, version] = [(); 3].map(|()| first.next().unwrap_or_default());
            let headers = lines.filter_map(|line| line.split_once(':'));
            let headers: Map<_, _> =
                headers.map(|(name, it)| (name.to_ascii_lowercase(), it.trim().into())).collect();
            let length = headers.get("content-length").and_then(Value::as_str);
            let is_whole = match headers.get("transfer-encoding") {
                Some(_) => body.ends_with(b"0\r\n\r\n"),
                None => body.len() >= length.and_then(|it| it.parse().ok()).unwrap_or(0),
            };
            if is_whole {
                let has_body = String::from_utf8_lossy(body).contains(BODY);
                let request = json!({ "method": method, "target": target, "version": version,
                    "headers": headers, "has_body": has_body });
                buffer.clear();
                return Ok(Some((request, version != "HTTP/1.0")));
            }
        }
        if buffer.len() > MAX_REQUEST || stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}
