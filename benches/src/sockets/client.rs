use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::request::{read_head, request};

/// How long a row may take, and how long it may go without a byte.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// What becomes of the bytes that a client reads.
pub trait Receiver {
    /// Takes bytes that the connection with this index has received, and returns how many events
    /// end in them.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with them.
    fn receive(&mut self, connection: usize, bytes: &[u8]) -> io::Result<u64>;
}

/// Many subscribers on one thread, which read everything that is sent to them.
pub struct Client<R> {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    buffer: Box<[u8]>,
    pub counted: Counted,
    pub receiver: R,
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

impl<R: Receiver> Client<R> {
    /// Creates a client without connections.
    pub fn new(receiver: R) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            connections: Vec::new(),
            buffer: vec![0; 64 * 1024].into(),
            counted: Counted::default(),
            receiver,
        })
    }

    /// Opens `subscribers` connections and returns once each has received its response head and the
    /// server has nothing more to do.
    pub fn open(address: SocketAddr, subscribers: usize, receiver: R) -> io::Result<Self> {
        let mut client = Self::new(receiver)?;
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
        client.settle()?;
        Ok(client)
    }

    /// Adds a connection whose response head has been read, and the bytes that followed it.
    pub fn add(&mut self, stream: TcpStream, rest: &[u8]) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        let at = self.connections.len();
        self.poll.registry().register(&mut stream, Token(at), Interest::READABLE)?;
        self.receiver.receive(at, rest)?;
        self.connections.push(Connection { stream, delivered: 0 });
        Ok(())
    }

    /// Reads until nothing more arrives, and counts from zero.
    pub fn settle(&mut self) -> io::Result<()> {
        while self.turn(Duration::from_millis(200))? {}
        self.counted = Counted::default();
        self.connections.iter_mut().for_each(|connection| connection.delivered = 0);
        Ok(())
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
                let delivered = self.receiver.receive(at, &self.buffer[..read])?;
                connection.delivered += delivered;
                self.counted.delivered += delivered;
                self.counted.reads += 1;
                self.counted.bytes += read as u64;
                if read < self.buffer.len() {
                    // Nothing is left to read: epoll reports what arrives from now on.
                    break;
                }
            }
        }
        Ok(!self.events.is_empty())
    }
}
