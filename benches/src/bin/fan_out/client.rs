use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use memchr::{memchr_iter, memmem};
use mio::{Events, Interest, Poll, Token};

use crate::event::{MARKER, monotonic_ns, published_ns};

/// How long a row may take, and how long it may go without a byte.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Many subscribers on one thread, which read everything that is sent to them.
pub struct Client {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    buffer: Box<[u8]>,
    pub counted: Counted,
    delays: Option<Vec<u64>>,
    /// All bytes that the first subscriber has read.
    pub witnessed: Vec<u8>,
}

struct Connection {
    stream: mio::net::TcpStream,
    delivered: u64,
}

/// The totals of all subscribers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    pub delivered: u64,
    pub reads: u64,
    pub bytes: u64,
}

impl Client {
    /// Opens `subscribers` connections and returns once each has received its response head.
    pub fn open(address: SocketAddr, subscribers: usize) -> io::Result<Self> {
        let mut client = Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            connections: Vec::with_capacity(subscribers),
            buffer: vec![0; 64 * 1024].into(),
            counted: Counted::default(),
            delays: None,
            witnessed: Vec::new(),
        };
        while client.connections.len() < subscribers {
            // Opens no more connections at a time than fit into the backlog of a server.
            let batch = (subscribers - client.connections.len()).min(100);
            let streams: io::Result<Vec<_>> =
                (0..batch).map(|_| request(TcpStream::connect(address)?, "/events")).collect();
            for mut stream in streams? {
                let rest = read_head(&mut stream)?;
                client.add(stream, &rest)?;
            }
        }
        // Until the server has nothing more to do.
        while client.turn(Duration::from_millis(200))? {}
        client.counted = Counted::default();
        Ok(client)
    }

    fn add(&mut self, stream: TcpStream, rest: &[u8]) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        let token = Token(self.connections.len());
        self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
        if self.connections.is_empty() {
            self.witnessed.extend_from_slice(rest);
        }
        self.connections.push(Connection { stream, delivered: 0 });
        Ok(())
    }

    /// Starts to record the delay of each event, from its publication to the return of the read.
    pub fn measure_delays(&mut self) {
        self.delays = Some(Vec::new());
    }

    /// Returns the delays in ascending order, or `None` if they were not measured.
    pub fn delays(&mut self) -> Option<Vec<u64>> {
        let mut delays = self.delays.take()?;
        delays.sort_unstable();
        Some(delays)
    }

    /// Reads until every subscriber has `events` events.
    pub fn read_all(&mut self, events: u64) -> io::Result<()> {
        let expected = events * self.connections.len() as u64;
        let start = Instant::now();
        while self.counted.delivered < expected {
            let left = DEADLINE.saturating_sub(start.elapsed());
            if left.is_zero() || !self.turn(left)? {
                let delivered = self.counted.delivered;
                let message = format!("{delivered} of {expected} deliveries in {DEADLINE:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
        }
        match self.connections.iter().find(|connection| connection.delivered != events) {
            Some(other) => Err(io::Error::other(format!("{} of {events} events", other.delivered))),
            None => Ok(()),
        }
    }

    /// Waits for bytes and reads them. Returns `false` if none arrived.
    fn turn(&mut self, wait: Duration) -> io::Result<bool> {
        self.poll.poll(&mut self.events, Some(wait))?;
        for event in &self.events {
            let Token(at) = event.token();
            loop {
                let connection = &mut self.connections[at];
                let read = match connection.stream.read(&mut self.buffer) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(read) => read,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                };
                let bytes = &self.buffer[..read];
                let mut delivered = 0;
                if let Some(delays) = &mut self.delays {
                    let now = monotonic_ns();
                    for marker in memchr_iter(MARKER, bytes) {
                        delivered += 1;
                        delays.extend(published_ns(bytes, marker).map(|then| now - then));
                    }
                } else {
                    delivered = memchr_iter(MARKER, bytes).count() as u64;
                }
                connection.delivered += delivered;
                self.counted.delivered += delivered;
                self.counted.reads += 1;
                self.counted.bytes += read as u64;
                if at == 0 {
                    self.witnessed.extend_from_slice(bytes);
                }
                if read < self.buffer.len() {
                    // Nothing is left to read: epoll reports what arrives from now on.
                    break;
                }
            }
        }
        Ok(!self.events.is_empty())
    }
}

/// Sends a request and returns the stream, with the response still to be read.
pub fn request(mut stream: TcpStream, path: &str) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: */*\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    Ok(stream)
}

/// Reads the head of a response and returns the bytes that followed it.
pub fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = memmem::find(&head, b"\r\n\r\n") {
            if !head.starts_with(b"HTTP/1.1 200") {
                return Err(io::Error::other(String::from_utf8_lossy(&head).into_owned()));
            }
            return Ok(head.split_off(end + 4));
        }
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => head.extend_from_slice(&buffer[..read]),
        }
    }
}
