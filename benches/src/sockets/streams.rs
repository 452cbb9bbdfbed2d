//! Clients of event streams on one thread. They can reconnect as the server's `retry` says, and
//! count lost and duplicate events by the content.

use std::collections::{BTreeMap, BinaryHeap};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use std::{cmp::Reverse, sync::Arc};

use memchr::memchr;
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

use super::clock::{monotonic_ns, parse_digits};
use crate::payload;

/// Returns the data of an event: its number, filler, and the time, so that it has `size` bytes.
#[must_use]
pub fn data(number: u64, size: usize) -> String {
    format!("{number:08} {}{:020}", payload::line(size - 29), monotonic_ns())
}

/// When a stream that has ended is opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    Never,
    /// After the `retry` that the ended stream has sent, or at once without one.
    AsTold,
}

/// Many clients, each with at most one stream.
pub struct Streams {
    poll: Poll,
    events: Events,
    buffer: Box<[u8]>,
    clients: Vec<Client>,
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    connecting: usize,
    next_address: usize,
    addresses: Vec<SocketAddr>,
    path: String,
    tls: Option<Arc<ClientConfig>>,
    pub reconnect: Reconnect,
    /// How many clients may connect at the same time.
    pub at_once: usize,
    /// Whether the delay of each event is recorded, from its publication to the return of the read.
    pub is_timed: bool,
    /// The size of the sockets' receive buffers, if it is not the system's.
    pub receive_buffer: Option<usize>,
    /// The address of the clients, if it is not the system's choice. As many clients as there are
    /// ports would otherwise leave none to other programs on `127.0.0.1`.
    pub source: Option<Ipv4Addr>,
    pub seen: Seen,
    pub open: usize,
}

/// What all clients have seen since this was last taken.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    pub events: u64,
    pub bytes: u64,
    pub reads: u64,
    /// The delays of events, in microseconds.
    pub delays: Vec<u32>,
    /// The streams whose head has come, and how many of them answer a request with an id.
    pub opened: u64,
    pub resumed: u64,
    /// The openings in each hundredth of a second of the clock that all processes share.
    pub openings: BTreeMap<u64, u32>,
    /// The longest time between the end of a stream and the head of its client's next stream.
    pub longest_wait: Duration,
    /// The longest of these times after subtracting from each the time for which the client had to
    /// wait before it connected, such as `retry`.
    pub longest_delay: Duration,
    /// Streams that have ended with a last chunk, without one, and by a reset. Resets before a head
    /// count too.
    pub clean: u64,
    pub truncated: u64,
    pub reset: u64,
    /// The clean ends of streams that have sent a `retry`.
    pub told: u64,
    /// Connections that could not be opened, or that ended before a head, except by a reset.
    pub unconnected: u64,
    /// Responses that are no streams, by their status: 200 for one that only has a `retry`.
    pub refused: BTreeMap<u16, u64>,
    pub gaps: u64,
    pub lost: u64,
    pub doubled: u64,
}

struct Client {
    io: Option<TcpStream>,
    tls: Option<Box<ClientConnection>>,
    stage: Stage,
    chunk: Chunk,
    /// The beginning of a head or of a line.
    begun: Vec<u8>,
    id: Box<str>,
    pending_id: Box<str>,
    /// The number of the event that comes next.
    next: u64,
    retry: Option<Duration>,
    ended: Option<(Instant, Duration)>,
    is_told: bool,
    has_resumed: bool,
    is_refused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Closed,
    Connecting,
    Head,
    Open,
}

/// What comes next in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    /// The body is not chunked.
    None,
    Size(usize),
    Data(usize),
    LineEnd(u8),
    /// This number of bytes of a body with a `content-length`.
    Fixed(usize),
    Last,
}

impl Streams {
    pub fn new(addresses: Vec<SocketAddr>, path: &str, clients: usize) -> io::Result<Self> {
        let client = || Client {
            io: None,
            tls: None,
            stage: Stage::Closed,
            chunk: Chunk::None,
            begun: Vec::new(),
            id: "".into(),
            pending_id: "".into(),
            next: 1,
            retry: None,
            ended: None,
            is_told: false,
            has_resumed: false,
            is_refused: false,
        };
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            buffer: vec![0; 64 * 1024].into(),
            clients: (0..clients).map(|_| client()).collect(),
            due: BinaryHeap::new(),
            connecting: 0,
            next_address: 0,
            addresses,
            path: path.to_owned(),
            tls: None,
            reconnect: Reconnect::Never,
            at_once: 256,
            is_timed: false,
            receive_buffer: None,
            source: None,
            seen: Seen::default(),
            open: 0,
        })
    }

    pub fn tls(&mut self, config: Arc<ClientConfig>) {
        self.tls = Some(config);
    }

    pub fn len(&self) -> usize {
        self.clients.len()
    }

    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Opens the streams of all clients that have none, without waiting for them.
    pub fn connect_all(&mut self) {
        let now = Instant::now();
        let closed = (0..self.clients.len()).filter(|&at| self.clients[at].stage == Stage::Closed);
        self.due = closed.map(|at| Reverse((now, at))).collect();
    }

    /// Closes all connections. The clients don't reconnect until [`Self::connect_all`].
    pub fn close_all(&mut self) {
        let now = Instant::now();
        self.due.clear();
        for at in 0..self.clients.len() {
            self.close(at);
            self.clients[at].ended = Some((now, Duration::ZERO));
        }
    }

    /// Calls [`Self::turn`] until `is_done` returns `true`, or until `limit` has passed. Returns
    /// whether it is done.
    pub fn until(
        &mut self,
        limit: Duration,
        mut is_done: impl FnMut(&Self) -> bool,
    ) -> io::Result<bool> {
        let end = Instant::now() + limit;
        while !is_done(self) {
            if Instant::now() > end {
                return Ok(false);
            }
            self.turn(Duration::from_millis(20))?;
        }
        Ok(true)
    }

    /// Returns whether each client has seen the event with this number, or has lost it.
    #[must_use]
    pub fn all_at(&self, number: u64) -> bool {
        self.clients.iter().all(|client| client.next > number)
    }

    /// Makes all clients expect the event with this number next.
    pub fn expect(&mut self, number: u64) {
        self.clients.iter_mut().for_each(|client| client.next = number);
    }

    pub fn take_seen(&mut self) -> Seen {
        std::mem::take(&mut self.seen)
    }

    /// Connects the clients that are due, waits for bytes and reads them.
    pub fn turn(&mut self, wait: Duration) -> io::Result<()> {
        let now = Instant::now();
        let mut wait = wait;
        while self.connecting < self.at_once
            && let Some(&Reverse((due, at))) = self.due.peek()
        {
            if due > now {
                wait = wait.min(due - now);
                break;
            }
            self.due.pop();
            self.connect(at);
        }
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        self.poll.poll(&mut events, Some(wait))?;
        for event in &events {
            let Token(at) = event.token();
            self.ready(at, event.is_writable());
        }
        self.events = events;
        Ok(())
    }

    fn connect(&mut self, at: usize) {
        let address = self.addresses[self.next_address % self.addresses.len()];
        self.next_address += 1;
        let both = Interest::READABLE | Interest::WRITABLE;
        let connected = connect_from(self.source, address, self.receive_buffer);
        let connected = connected.and_then(|mut io| {
            self.poll.registry().register(&mut io, Token(at), both)?;
            Ok(io)
        });
        match connected {
            Ok(io) => {
                let client = &mut self.clients[at];
                client.io = Some(io);
                client.stage = Stage::Connecting;
                if let Some(config) = &self.tls {
                    let name = ServerName::try_from("localhost").expect("a name");
                    let tls = ClientConnection::new(Arc::clone(config), name).expect("a config");
                    client.tls = Some(Box::new(tls));
                }
                self.connecting += 1;
            }
            // Usually, no port is free.
            Err(_) => self.retry_soon(at),
        }
    }

    fn retry_soon(&mut self, at: usize) {
        self.seen.unconnected += 1;
        let pause = Duration::from_millis(fastrand::u64(100..300));
        self.due.push(Reverse((Instant::now() + pause, at)));
    }

    fn close(&mut self, at: usize) {
        let client = &mut self.clients[at];
        match client.stage {
            Stage::Connecting | Stage::Head => self.connecting -= 1,
            Stage::Open => self.open -= 1,
            Stage::Closed => {}
        }
        (client.io, client.tls, client.stage) = (None, None, Stage::Closed);
        client.begun = Vec::new();
    }

    fn ready(&mut self, at: usize, is_writable: bool) {
        if self.clients[at].stage == Stage::Connecting {
            let io = self.clients[at].io.as_ref();
            let failed = io.is_none_or(|io| io.take_error().is_ok_and(|error| error.is_some()));
            if failed {
                self.close(at);
                self.retry_soon(at);
                return;
            }
            if is_writable && self.send(at).is_err() {
                self.close(at);
                self.retry_soon(at);
                return;
            }
        }
        if let Err(error) = self.read(at) {
            self.ended(at, &error);
        }
    }

    fn send(&mut self, at: usize) -> io::Result<()> {
        let client = &mut self.clients[at];
        let mut request = format!(
            "GET {} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\
             cache-control: no-cache\r\n",
            self.path
        );
        client.has_resumed = !client.id.is_empty();
        if client.has_resumed {
            request += &format!("last-event-id: {}\r\n", client.id);
        }
        request += "\r\n";
        let Some(io) = &mut client.io else { return Ok(()) };
        match &mut client.tls {
            Some(tls) => {
                tls.writer().write_all(request.as_bytes())?;
                while tls.wants_write() && tls.write_tls(io)? > 0 {}
            }
            // A new socket has room for the request.
            None => io.write_all(request.as_bytes())?,
        }
        client.stage = Stage::Head;
        if client.tls.is_none() {
            // Like a browser, the client writes nothing more.
            self.poll.registry().reregister(io, Token(at), Interest::READABLE)?;
        }
        Ok(())
    }

    fn read(&mut self, at: usize) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.read_into(at, &mut buffer);
        self.buffer = buffer;
        result
    }

    fn read_into(&mut self, at: usize, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            let client = &mut self.clients[at];
            let Some(io) = &mut client.io else { return Ok(()) };
            if let Some(tls) = &mut client.tls {
                let received = match tls.read_tls(io) {
                    Ok(read) => read,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(error),
                };
                tls.process_new_packets().map_err(io::Error::other)?;
                while tls.wants_write() && tls.write_tls(io).is_ok_and(|written| written > 0) {}
                while let Ok(read) =
                    self.clients[at].tls.as_mut().map_or(Ok(0), |tls| tls.reader().read(buffer))
                    && read > 0
                {
                    self.received(at, &buffer[..read])?;
                }
                if received == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                continue;
            }
            let read = match io.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.received(at, &buffer[..read])?;
            if read < buffer.len() {
                // Nothing is left to read: epoll reports what arrives from now on.
                return Ok(());
            }
        }
    }

    fn received(&mut self, at: usize, read: &[u8]) -> io::Result<()> {
        self.seen.reads += 1;
        self.seen.bytes += read.len() as u64;
        let client = &mut self.clients[at];
        let mut was_head = false;
        let whole: Vec<u8>;
        let mut bytes = read;
        if client.stage == Stage::Head {
            client.begun.extend_from_slice(bytes);
            let Some(end) = memchr::memmem::find(&client.begun, b"\r\n\r\n") else { return Ok(()) };
            whole = std::mem::take(&mut client.begun);
            bytes = &whole[end + 4..];
            let head = String::from_utf8_lossy(&whole[..end]).to_lowercase();
            let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
            let is_stream = status == 200 && head.contains("content-type: text/event-stream");
            if !is_stream {
                *self.seen.refused.entry(status).or_default() += 1;
                let after = head.lines().find_map(|line| line.strip_prefix("retry-after: "));
                let after = after.and_then(|after| after.trim().parse().ok()).unwrap_or(1.0);
                let after = Duration::from_secs_f64(after);
                self.close(at);
                let client = &mut self.clients[at];
                let (since, told) = client.ended.unwrap_or((Instant::now(), Duration::ZERO));
                client.ended = Some((since, told + after));
                self.due.push(Reverse((Instant::now() + after, at)));
                return Ok(());
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            client.chunk = match length.and_then(|length| length.trim().parse().ok()) {
                Some(length) => Chunk::Fixed(length),
                None if head.contains("transfer-encoding: chunked") => Chunk::Size(0),
                None => Chunk::None,
            };
            client.stage = Stage::Open;
            client.is_told = false;
            self.connecting -= 1;
            self.open += 1;
            was_head = true;
        }
        let now = if self.is_timed { monotonic_ns() } else { 0 };
        let events = self.seen.events;
        client.body(bytes, now, &mut self.seen);
        if was_head {
            // The answer is a refusal if it has only a `retry`, which comes together with its head.
            client.is_refused = client.chunk == Chunk::Last && self.seen.events == events;
            if client.is_refused {
                *self.seen.refused.entry(200).or_default() += 1;
            } else {
                self.seen.opened += 1;
                self.seen.resumed += u64::from(client.has_resumed);
                *self.seen.openings.entry(monotonic_ns() / 10_000_000).or_default() += 1;
                if let Some((since, told)) = client.ended.take() {
                    let (wait, seen) = (since.elapsed(), &mut self.seen);
                    seen.longest_wait = seen.longest_wait.max(wait);
                    seen.longest_delay = seen.longest_delay.max(wait.saturating_sub(told));
                }
            }
        }
        if client.chunk == Chunk::Last { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Notes how a stream has ended, and when its client comes back.
    fn ended(&mut self, at: usize, error: &io::Error) {
        let client = &mut self.clients[at];
        let is_stream = client.stage == Stage::Open;
        if client.is_refused {
            // A refusal was already counted at its head.
        } else if is_stream && client.chunk == Chunk::Last {
            self.seen.clean += 1;
            self.seen.told += u64::from(client.is_told);
        } else if error.kind() == io::ErrorKind::ConnectionReset {
            self.seen.reset += 1;
        } else if is_stream {
            self.seen.truncated += 1;
        } else {
            self.seen.unconnected += 1;
        }
        let wait = match client.retry {
            _ if self.reconnect == Reconnect::Never => None,
            // A connection that a listener dropped is tried again like one that the listener
            // refused.
            _ if !is_stream => Some(Duration::from_millis(fastrand::u64(100..300))),
            retry => Some(retry.filter(|_| client.is_told).unwrap_or_default()),
        };
        self.close(at);
        let now = Instant::now();
        if let Some(wait) = wait {
            let client = &mut self.clients[at];
            let (since, told) = client.ended.unwrap_or((now, Duration::ZERO));
            client.ended = Some((since, told + wait));
            client.is_refused = false;
            self.due.push(Reverse((now + wait, at)));
        }
    }
}

fn connect_from(
    source: Option<Ipv4Addr>,
    address: SocketAddr,
    receive_buffer: Option<usize>,
) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // The buffer size and the address must be set before the socket connects.
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(source) = source {
        #[cfg(target_os = "linux")]
        nix::sys::socket::setsockopt(
            &socket,
            nix::sys::socket::sockopt::IpBindAddressNoPort,
            &true,
        )?;
        socket.bind(&SocketAddr::from((source, 0)).into())?;
    }
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(nix::errno::Errno::EINPROGRESS as i32) => {
            Err(error)
        }
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = line.strip_prefix(name)?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

/// Returns text without quotes around it: better-sse sends text as a JSON string.
fn unquoted(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text)
}

impl Client {
    /// Reads the lines of a body, without the framing of its chunks.
    fn body(&mut self, mut bytes: &[u8], now: u64, seen: &mut Seen) {
        while let Some(&first) = bytes.first() {
            match self.chunk {
                Chunk::None => return self.lines(bytes, now, seen),
                Chunk::Size(size) => {
                    bytes = &bytes[1..];
                    self.chunk = match (first, (first as char).to_digit(16)) {
                        (b'\n', _) if size == 0 => Chunk::Last,
                        (b'\n', _) => Chunk::Data(size),
                        (_, Some(digit)) => Chunk::Size(size * 16 + digit as usize),
                        _ => Chunk::Size(size),
                    };
                }
                Chunk::Data(left) => {
                    let (data, rest) = bytes.split_at(left.min(bytes.len()));
                    self.lines(data, now, seen);
                    bytes = rest;
                    let left = left - data.len();
                    self.chunk = if left == 0 { Chunk::LineEnd(2) } else { Chunk::Data(left) };
                }
                Chunk::LineEnd(left) => {
                    bytes = &bytes[1..];
                    self.chunk = if left == 1 { Chunk::Size(0) } else { Chunk::LineEnd(left - 1) };
                }
                Chunk::Fixed(left) => {
                    let (data, rest) = bytes.split_at(left.min(bytes.len()));
                    self.lines(data, now, seen);
                    bytes = rest;
                    let left = left - data.len();
                    self.chunk = if left == 0 { Chunk::Last } else { Chunk::Fixed(left) };
                }
                Chunk::Last => return,
            }
        }
    }

    fn lines(&mut self, mut bytes: &[u8], now: u64, seen: &mut Seen) {
        while let Some(end) = memchr(b'\n', bytes) {
            if self.begun.is_empty() {
                self.line(&bytes[..end], now, seen);
            } else {
                self.begun.extend_from_slice(&bytes[..end]);
                let line = std::mem::take(&mut self.begun);
                self.line(&line, now, seen);
            }
            bytes = &bytes[end + 1..];
        }
        self.begun.extend_from_slice(bytes);
    }

    fn line(&mut self, line: &[u8], now: u64, seen: &mut Seen) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            if !self.pending_id.is_empty() {
                self.id = std::mem::take(&mut self.pending_id);
            }
        } else if let Some(data) = field(line, b"data:").map(unquoted)
            && data.len() > 29
            && data[..8].iter().all(u8::is_ascii_digit)
        {
            seen.events += 1;
            let number = parse_digits(&data[..8]);
            if number < self.next {
                seen.doubled += 1;
            } else {
                seen.lost += number - self.next;
                self.next = number + 1;
            }
            if now > 0 {
                let then = parse_digits(&data[data.len() - 20..]);
                seen.delays.push((now.saturating_sub(then) / 1000) as u32);
            }
        } else if let Some(id) = field(line, b"id:") {
            self.pending_id = String::from_utf8_lossy(id).into();
        } else if let Some(retry) = field(line, b"retry:") {
            self.retry = Some(Duration::from_millis(parse_digits(retry)));
            self.is_told = true;
        } else if field(line, b"event:") == Some(b"gap") {
            seen.gaps += 1;
        }
    }
}

impl Seen {
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.bytes += other.bytes;
        self.reads += other.reads;
        self.delays.extend(&other.delays);
        self.opened += other.opened;
        self.resumed += other.resumed;
        for (at, openings) in &other.openings {
            *self.openings.entry(*at).or_default() += openings;
        }
        self.longest_wait = self.longest_wait.max(other.longest_wait);
        self.longest_delay = self.longest_delay.max(other.longest_delay);
        self.clean += other.clean;
        self.truncated += other.truncated;
        self.reset += other.reset;
        self.told += other.told;
        self.unconnected += other.unconnected;
        for (status, count) in &other.refused {
            *self.refused.entry(*status).or_default() += count;
        }
        self.gaps += other.gaps;
        self.lost += other.lost;
        self.doubled += other.doubled;
    }

    /// Returns the most streams that were opened within a tenth of a second.
    #[must_use]
    pub fn fullest_tenth(&self) -> u32 {
        let within =
            |first: u64| self.openings.range(first..first + 10).map(|(_, count)| count).sum();
        self.openings.keys().map(|&first| within(first)).max().unwrap_or(0)
    }

    /// Returns the time from the first opening to the last, at least a hundredth of a second.
    #[must_use]
    pub fn opening_time(&self) -> Duration {
        let first = self.openings.keys().next().copied().unwrap_or(0);
        let last = self.openings.keys().next_back().copied().unwrap_or(0);
        Duration::from_millis((last - first + 1) * 10)
    }

    /// Returns this quantile of the delays, in milliseconds.
    #[must_use]
    pub fn delay_ms(&mut self, quantile: f64) -> f64 {
        self.delays.sort_unstable();
        let at = (self.delays.len() as f64 * quantile) as usize;
        let at = at.min(self.delays.len().saturating_sub(1));
        self.delays.get(at).map_or(0.0, |&us| f64::from(us) / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(pieces: &[&str]) -> (Client, Seen) {
        let mut streams = Streams::new(vec![], "/", 1).unwrap();
        let (mut client, mut seen) = (streams.clients.remove(0), Seen::default());
        client.chunk = Chunk::Size(0);
        for piece in pieces {
            client.body(piece.as_bytes(), u64::MAX, &mut seen);
        }
        (client, seen)
    }

    #[test]
    fn events_are_counted_wherever_chunks_and_reads_end() {
        let event = |number| format!("id: x-{number}\ndata: {}\n\n", data(number, 64));
        let text = [1, 2, 2, 5].map(event).concat() + "retry: 2500\n\n";
        let (first, second) = text.split_at(100);
        let wire =
            format!("{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", first.len(), second.len());
        for at in 1..wire.len() {
            let (client, seen) = after(&[&wire[..at], &wire[at..]]);
            assert_eq!((seen.events, seen.doubled, seen.lost), (4, 1, 2), "{at}");
            assert_eq!((&*client.id, client.next), ("x-5", 6), "{at}");
            assert_eq!(client.retry, Some(Duration::from_millis(2500)), "{at}");
            assert_eq!(client.chunk, Chunk::Last, "{at}");
        }
    }
}
