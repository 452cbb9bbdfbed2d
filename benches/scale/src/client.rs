use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use memchr::memchr_iter;
use mio::{Events, Interest, Poll, Token};

use crate::{MARK, Streams, http2};

/// The streams of many connections, on one thread, which reads everything that is sent to them.
pub struct Client {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    streams: Box<[Stream]>,
    /// The number of streams on each connection.
    each: usize,
    buffer: Box<[u8]>,
    pub heads: Arrivals,
    pub marks: Arrivals,
    pub ends: Arrivals,
}

/// How many of something have arrived, and when the first and the last of them came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrivals {
    pub count: usize,
    pub first: Option<Instant>,
    pub last: Option<Instant>,
}

impl Arrivals {
    fn count(&mut self, now: Instant) {
        self.count += 1;
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    /// Returns how long after `start` the first and the last came, in seconds.
    #[must_use]
    pub fn since(&self, start: Instant) -> [f64; 2] {
        [self.first, self.last].map(|at| at.map_or(0.0, |at| (at - start).as_secs_f64()))
    }
}

#[derive(Clone, Copy, Default)]
struct Stream {
    has_head: bool,
    has_ended: bool,
    marks: u8,
}

struct Connection {
    io: mio::net::TcpStream,
    /// The bytes of a frame's header that have arrived, and how many.
    header: [u8; 9],
    known: u8,
    /// The bytes of the frame that are yet to come, once its header is known.
    left: usize,
}

/// How many requests may wait for their heads at the same time.
const WAITING: usize = 64;
/// How long any step may take.
pub const PATIENCE: Duration = Duration::from_secs(240);

impl Client {
    pub fn connect(address: SocketAddr, streams: Streams) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::new();
        for at in 0..streams.all.div_ceil(streams.each) {
            let mut io = TcpStream::connect(address)?;
            io.write_all(&http2::opening(u32::from(u16::MAX)))?;
            io.set_nodelay(true)?;
            io.set_nonblocking(true)?;
            let mut io = mio::net::TcpStream::from_std(io);
            poll.registry().register(&mut io, Token(at), Interest::READABLE)?;
            connections.push(Connection { io, header: [0; 9], known: 0, left: 0 });
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            connections,
            streams: vec![Stream::default(); streams.all].into(),
            each: streams.each,
            buffer: vec![0; 64 * 1024].into(),
            heads: Arrivals::default(),
            marks: Arrivals::default(),
            ends: Arrivals::default(),
        })
    }

    /// Opens all streams as real clients come: each over another connection than the previous
    /// stream.
    pub fn open(&mut self) -> io::Result<()> {
        let mut sent = 0;
        for turn in 0..self.each {
            for at in 0..self.connections.len() {
                if at * self.each + turn >= self.streams.len() {
                    continue;
                }
                let request = http2::request(2 * turn as u32 + 1);
                self.connections[at].io.write_all(&request)?;
                sent += 1;
                while sent - self.heads.count >= WAITING {
                    self.turn()?;
                }
            }
        }
        self.read_until(|client| client.heads.count == sent)
    }

    /// Reads until the streams have this number of marks on average. Returns an error if a stream
    /// has another number.
    pub fn read_marks(&mut self, marks: u8) -> io::Result<()> {
        let expected = self.streams.len() * usize::from(marks);
        self.read_until(|client| client.marks.count == expected)?;
        match self.streams.iter().find(|stream| stream.marks != marks) {
            Some(other) => Err(io::Error::other(format!("{} of {marks} events", other.marks))),
            None => Ok(()),
        }
    }

    pub fn read_ends(&mut self) -> io::Result<()> {
        let expected = self.streams.len();
        self.read_until(|client| client.ends.count == expected)
    }

    fn read_until(&mut self, is_done: impl Fn(&Self) -> bool) -> io::Result<()> {
        let start = Instant::now();
        while !is_done(self) {
            if start.elapsed() > PATIENCE {
                let Self { heads, marks, ends, .. } = self;
                let counts = [heads, marks, ends].map(|arrivals| arrivals.count);
                let message = format!("{counts:?} heads, events and ends in {PATIENCE:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> io::Result<()> {
        self.poll.poll(&mut self.events, Some(Duration::from_secs(1)))?;
        let now = Instant::now();
        for event in &self.events {
            let Token(at) = event.token();
            let first = at * self.each;
            let end = self.streams.len().min(first + self.each);
            let mut arrived = Arrived {
                streams: &mut self.streams[first..end],
                heads: &mut self.heads,
                marks: &mut self.marks,
                ends: &mut self.ends,
                now,
            };
            loop {
                let connection = &mut self.connections[at];
                let read = match connection.io.read(&mut self.buffer) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(read) => read,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                };
                connection.take(&self.buffer[..read], &mut arrived)?;
                if read < self.buffer.len() {
                    // Nothing is left to read: epoll reports what arrives from now on.
                    break;
                }
            }
        }
        Ok(())
    }
}

/// What the bytes of one connection change.
struct Arrived<'c> {
    streams: &'c mut [Stream],
    heads: &'c mut Arrivals,
    marks: &'c mut Arrivals,
    ends: &'c mut Arrivals,
    now: Instant,
}

impl Connection {
    fn take(&mut self, mut bytes: &[u8], arrived: &mut Arrived<'_>) -> io::Result<()> {
        while !bytes.is_empty() {
            let known = usize::from(self.known);
            if known < self.header.len() {
                let (more, rest) = bytes.split_at(bytes.len().min(self.header.len() - known));
                self.header[known..known + more.len()].copy_from_slice(more);
                self.known += more.len() as u8;
                bytes = rest;
                if usize::from(self.known) < self.header.len() {
                    return Ok(());
                }
                let [a, b, c, ..] = self.header;
                self.left = u32::from_be_bytes([0, a, b, c]) as usize;
            }
            let (payload, rest) = bytes.split_at(bytes.len().min(self.left));
            self.left -= payload.len();
            bytes = rest;
            self.take_payload(payload, arrived)?;
            if self.left == 0 {
                self.known = 0;
            }
        }
        Ok(())
    }

    /// Takes the whole payload of the frame, or a part of it.
    fn take_payload(&self, payload: &[u8], arrived: &mut Arrived<'_>) -> io::Result<()> {
        let [_, _, _, kind, flags, a, b, c, d] = self.header;
        let id = u32::from_be_bytes([a, b, c, d]);
        if let http2::frame::RST_STREAM | http2::frame::GOAWAY = kind {
            return Err(io::Error::other(format!("frame {kind} for stream {id}: {payload:?}")));
        }
        if id == 0 {
            return Ok(());
        }
        let stream = arrived.streams.get_mut(id as usize / 2);
        let stream = stream.ok_or_else(|| io::Error::other(format!("no stream {id}")))?;
        if kind == http2::frame::DATA {
            for _ in memchr_iter(MARK, payload) {
                stream.marks += 1;
                arrived.marks.count(arrived.now);
            }
        }
        if self.left > 0 {
            return Ok(());
        }
        if kind == http2::frame::HEADERS && !stream.has_head {
            stream.has_head = true;
            arrived.heads.count(arrived.now);
        }
        let can_end = matches!(kind, http2::frame::DATA | http2::frame::HEADERS);
        if can_end && flags & http2::frame::END_STREAM != 0 {
            if stream.has_ended {
                return Err(io::Error::other(format!("a second end of stream {id}")));
            }
            stream.has_ended = true;
            arrived.ends.count(arrived.now);
        }
        Ok(())
    }
}
