use mio::{Events, Interest, Poll, Token};

use super::page::CHUNK;
use crate::*;

/// How many events are written at once, each in a chunk of its own.
const BLOCK: u64 = 32;

/// One connection that gets events as fast as it takes them.
struct Sending {
    stream: mio::net::TcpStream,
    next: u64,
    block: Vec<u8>,
    written: usize,
    is_queued: bool,
}

/// Sends events 1 to `events` to each stream as fast as possible, and returns the streams.
pub fn send(
    streams: Vec<TcpStream>,
    events: u64,
    template: &Template,
) -> io::Result<Vec<TcpStream>> {
    let mut poll = Poll::new()?;
    let mut sendings = Vec::with_capacity(streams.len());
    for stream in streams {
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(sendings.len()), Interest::WRITABLE)?;
        let block = Vec::with_capacity(BLOCK as usize * CHUNK);
        sendings.push(Sending { stream, next: 1, block, written: 0, is_queued: false });
    }
    let mut writable = Events::with_capacity(1024);
    let mut queue = VecDeque::new();
    let mut unfinished = sendings.len();
    while unfinished > 0 {
        let wait = if queue.is_empty() { DEADLINE } else { Duration::ZERO };
        poll.poll(&mut writable, Some(wait))?;
        for event in &writable {
            let Token(at) = event.token();
            if !sendings[at].is_queued && !sendings[at].is_finished(events) {
                sendings[at].is_queued = true;
                queue.push_back(at);
            }
        }
        // One write for each, then those that have become writable get their turn too.
        for _ in 0..queue.len() {
            let Some(at) = queue.pop_front() else { break };
            let sending = &mut sendings[at];
            sending.is_queued = sending.write(events, template)?;
            if sending.is_finished(events) {
                unfinished -= 1;
            } else if sending.is_queued {
                queue.push_back(at);
            }
        }
    }
    Ok(sendings.into_iter().map(|sending| sending.stream.into()).collect())
}

impl Sending {
    const fn is_finished(&self, events: u64) -> bool {
        self.next > events && self.written == self.block.len()
    }

    /// Writes once. Returns whether the socket took it.
    fn write(&mut self, events: u64, template: &Template) -> io::Result<bool> {
        if self.written == self.block.len() {
            self.block.clear();
            self.written = 0;
            let now = monotonic_ns();
            let last = events.min(self.next + BLOCK - 1);
            for number in self.next..=last {
                template.write_chunk(number, now, &mut self.block);
            }
            self.next = last + 1;
        }
        match self.stream.write(&self.block[self.written..]) {
            Ok(written) => self.written += written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }
}
