use socket2::SockRef;

use crate::*;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
    cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

/// What the upstream sends on each connection.
pub struct Order {
    pub events: u64,
    /// The time from one event to the next; zero is as fast as possible.
    pub gap: Duration,
}

impl Order {
    /// Returns the request path that starts it.
    pub fn path(&self) -> String {
        format!("/start/{}/{}", self.events, self.gap.as_micros())
    }

    fn parse(path: &str) -> Option<Self> {
        let (events, gap_us) = path.strip_prefix("/start/")?.split_once('/')?;
        let gap = Duration::from_micros(gap_us.parse().ok()?);
        Some(Self { events: events.parse().ok()?, gap })
    }
}

/// Answers each request with an event stream of one event, until a request for `/start/EVENTS/GAP_US`
/// sends that many further events to all of them, with a pause in microseconds in between.
pub fn serve() {
    end_with_parent();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("listening on {}", listener.local_addr().expect("an address"));
    let template = Template::new();
    let mut streams = Vec::new();
    // They stay open after their last event.
    let mut sent = Vec::new();
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        match Order::parse(&read_path(&mut stream).expect("a request")) {
            Some(order) => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                    .expect("a client");
                let streams: Vec<TcpStream> = mem::take(&mut streams);
                match order.gap {
                    Duration::ZERO => {
                        sent.push(pipeline::send(streams, order.events, &template).expect("relays"))
                    }
                    gap => sent.push(paced(streams, order.events, gap, &template)),
                }
            }
            None => {
                stream.set_nodelay(true).expect("a socket option");
                // Bounds what waits between the upstream and the relay.
                SockRef::from(&stream).set_send_buffer_size(64 << 10).expect("a socket option");
                let mut answer = HEAD.to_vec();
                template.write_chunk(0, monotonic_ns(), &mut answer);
                stream.write_all(&answer).expect("a relay");
                streams.push(stream);
            }
        }
    }
}

/// Reads the head of a request and returns its path.
fn read_path(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while memmem::find(&head, b"\r\n\r\n").is_none() {
        match io::Read::read(stream, &mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => head.extend_from_slice(&buffer[..read]),
        }
    }
    let head = String::from_utf8_lossy(&head);
    Ok(head.split(' ').nth(1).unwrap_or_default().to_owned())
}

/// Sends an event to each stream in every `gap`. The streams are evenly out of step, as those of
/// independent answers are: a relay is woken for each event.
fn paced(
    mut streams: Vec<TcpStream>,
    events: u64,
    gap: Duration,
    template: &Template,
) -> Vec<TcpStream> {
    let step = gap / streams.len().max(1) as u32;
    let mut due = Instant::now();
    let mut chunk = Vec::new();
    for number in 1..=events {
        for stream in &mut streams {
            sleep(due.saturating_duration_since(Instant::now()));
            due += step;
            chunk.clear();
            template.write_chunk(number, monotonic_ns(), &mut chunk);
            stream.write_all(&chunk).expect("a relay");
        }
    }
    streams
}
