//! Records a stream's bytes with their arrival times, and splits them into events.

use std::io::{Result, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{mem::take, ops::Range, time::Duration};

use flate2::write::MultiGzDecoder;
use http::{Uri, Version, response::Parts};
use http_body_util::BodyExt;
use hyper::{Response, body::Body, body::Incoming};
use tokio::time::Instant;
use tower_sse::decode::{EventSplitter, Piece};

use crate::connection::{Connection, Request, innermost, name};
use crate::finding::quoted;

/// The size at which reading a stream stops.
pub(crate) const MAX_BYTES: usize = 4 << 20;
/// The maximum number of events and blocks of a stream that are checked.
const MAX_EVENTS: usize = 1 << 16;
/// What the error of a stream that was reset with `NO_ERROR` says.
pub(crate) const NO_ERROR: &str = "the stream was reset with NO_ERROR";
/// A greeting or the end of a refusal comes within this time after the head.
const AT_ONCE: Duration = Duration::from_secs(1);
/// An event with the same id as the one before is a heartbeat if it comes at least this much later.
/// The events of one transaction, which can share an id too, come together.
const HEARTBEAT: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    /// The stream has not ended.
    Open,
    Clean,
    /// The stream was cut, for example by a reset, or the request failed.
    Cut(String),
}

/// Bytes that came at about the same time.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) at: Duration,
    /// Where the chunk ends in the stream's bytes.
    pub(crate) end: usize,
}

/// The part of a response that has arrived. All times count from shortly before the first request.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    pub(crate) target: Uri,
    /// How long connecting took, at least one round trip. Zero if that wasn't measured.
    pub(crate) connecting: Duration,
    pub(crate) sent: Duration,
    pub(crate) head: Option<(Duration, Parts)>,
    pub(crate) chunks: Vec<Chunk>,
    /// The body's decoded bytes. Empty if there's no decoder for its content coding.
    pub(crate) bytes: Vec<u8>,
    pub(crate) end: End,
    /// When the response ended, or was no longer watched.
    pub(crate) end_at: Duration,
    /// Whether the response has reached the limit of bytes or of events. The rest is not checked.
    pub(crate) is_full: bool,
}

impl Recording {
    pub(crate) fn new(target: Uri, sent: Duration, connecting: Duration) -> Self {
        let (chunks, bytes, end) = (vec![], vec![], End::Open);
        let (head, end_at, is_full) = (None, sent, false);
        Self { target, connecting, sent, head, chunks, bytes, end, end_at, is_full }
    }

    /// Returns whether the response was still open and was read completely so far.
    pub(crate) fn is_open(&self) -> bool {
        self.end == End::Open && !self.is_full
    }

    /// Returns a header's text, which is empty if the response does not have it.
    pub(crate) fn header(&self, name: &str) -> String {
        let head = self.head.as_ref();
        let values = head.map(|(_, parts)| parts.headers.get_all(name)).into_iter().flatten();
        let values: Vec<_> = values.map(|it| String::from_utf8_lossy(it.as_bytes())).collect();
        values.join(", ")
    }

    /// Returns a header's text in a form that can be printed.
    pub(crate) fn quoted(&self, name: &str) -> String {
        let text = self.header(name);
        if text.is_empty() { format!("no {name}") } else { quoted(text.as_bytes()) }
    }

    /// Returns the content coding by its name in RFC 9110, section 8.4.1, or an empty text.
    pub(crate) fn coding(&self) -> String {
        match &*self.header("content-encoding").to_ascii_lowercase() {
            "x-gzip" => "gzip".to_owned(),
            // Some servers in JavaScript send the unregistered coding `none`, so that nothing
            // compresses the stream.
            "identity" | "none" => String::new(),
            coding => coding.to_owned(),
        }
    }

    /// Returns whether this program can decode the body.
    pub(crate) fn is_decoded(&self) -> bool {
        matches!(&*self.coding(), "" | "gzip")
    }

    pub(crate) fn name(&self) -> String {
        name(&self.target)
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.as_ref().map_or(0, |(_, parts)| parts.status.as_u16())
    }

    /// Returns whether clients treat the response as an event stream.
    pub(crate) fn is_event_stream(&self) -> bool {
        self.status() == 200 && self.media_type().0 == "text/event-stream"
    }

    /// Returns the last media type and its charset in lower case, as the Fetch standard extracts
    /// them from all values. Empty if there is none.
    fn media_type(&self) -> (String, String) {
        let header = self.header("content-type").to_ascii_lowercase();
        let types = header.split(',').filter_map(|value| {
            let mut parts = value.split(';').map(str::trim);
            let essence = parts.next().filter(|it| it.contains('/') && *it != "*/*")?;
            let charset = parts.find_map(|it| it.strip_prefix("charset="));
            Some((essence, charset.map(|it| it.trim_matches('"'))))
        });
        let (essence, charset) = types.fold(("", ""), |(last, charset), (essence, own)| {
            let inherited = if essence == last { charset } else { "" };
            (essence, own.unwrap_or(inherited))
        });
        (essence.to_owned(), charset.to_owned())
    }

    /// Returns the charset in the content type, unless it is UTF-8.
    pub(crate) fn other_charset(&self) -> Option<String> {
        Some(self.media_type().1).filter(|charset| !matches!(&**charset, "" | "utf-8"))
    }

    /// Returns how long the response was watched.
    pub(crate) fn age(&self) -> Duration {
        self.end_at.saturating_sub(self.sent)
    }

    fn push(&mut self, at: Duration, data: &[u8], gzip: Option<&mut Gzip>) -> Result<()> {
        if let Some(decoder) = gzip {
            decoder.write_all(data)?;
            decoder.flush()?;
            self.bytes.append(decoder.get_mut());
        } else if self.is_decoded() {
            self.bytes.extend_from_slice(data);
        }
        // Limit the number of chunks, and so their memory, even for small reads and a long watch.
        let moment = Duration::from_millis(1).max(at / (1 << 16));
        match self.chunks.last_mut() {
            Some(last) if at < last.at + moment => last.end = self.bytes.len(),
            _ => self.chunks.push(Chunk { at, end: self.bytes.len() }),
        }
        self.end_at = at;
        Ok(())
    }
}

type Gzip = MultiGzDecoder<Vec<u8>>;

/// Locks a recording or a log. Ignores poisoning, because no panic leaves a half-made change.
pub(crate) fn lock<T>(recorded: &Mutex<T>) -> MutexGuard<'_, T> {
    recorded.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends the request and records the response until it has ended.
pub(crate) async fn record(
    mut connection: Connection,
    request: &Request,
    last_id: Option<&str>,
    start: Instant,
    recording: &Mutex<Recording>,
) {
    let target = lock(recording).target.clone();
    lock(recording).sent = start.elapsed();
    let end = match connection.send(&target, request, last_id).await {
        Ok(response) => read(response, start, recording).await,
        Err(error) => End::Cut(error),
    };
    let mut recording = lock(recording);
    (recording.end, recording.end_at) = (end, start.elapsed());
}

async fn read(response: Response<Incoming>, start: Instant, recording: &Mutex<Recording>) -> End {
    let (parts, mut body) = response.into_parts();
    lock(recording).head = Some((start.elapsed(), parts));
    let is_gzip = lock(recording).coding() == "gzip";
    let is_http2 = is_http2(&lock(recording));
    let mut gzip = is_gzip.then(|| Gzip::new(Vec::new()));
    while let Some(frame) = body.frame().await {
        let data = match frame {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(error) => return End::Cut(innermost(&error)),
        };
        // Decode a few bytes at a time, because the decoded bytes may be many more.
        for data in data.chunks(1024) {
            if let Err(error) = lock(recording).push(start.elapsed(), data, gzip.as_mut()) {
                return End::Cut(format!("the gzip coding is broken: {error}"));
            }
            if lock(recording).bytes.len() > MAX_BYTES {
                lock(recording).is_full = true;
                // Wait forever: the rest is not needed, but the stream has not ended.
                std::future::pending::<()>().await;
            }
        }
    }
    // hyper reports a reset with `NO_ERROR` as an end.
    if is_http2 && !body.is_end_stream() {
        return End::Cut(NO_ERROR.to_owned());
    }
    End::Clean
}

fn is_http2(recording: &Recording) -> bool {
    recording.head.as_ref().is_some_and(|(_, parts)| parts.version == Version::HTTP_2)
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// When the event's last byte arrived.
    pub(crate) at: Duration,
    pub(crate) range: Range<usize>,
    /// The event's own id, unless it is empty.
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    pub(crate) data: Vec<u8>,
}

impl Event {
    /// Returns whether the server probably made the event for this connection alone: to report a
    /// loss or to give a first visitor an id.
    pub(crate) fn is_own(&self) -> bool {
        self.name == "gap" || self.name == "start" && matches!(&*self.data, b"" | b"{}")
    }
}

/// Splits items into groups that came at about the same time.
pub(crate) fn bursts<T>(mut rest: &[T], at: impl Fn(&T) -> Duration) -> Vec<&[T]> {
    let mut bursts = Vec::new();
    while let Some(first) = rest.first() {
        let len = rest.partition_point(|it| at(it) < at(first) + Duration::from_millis(20));
        bursts.extend(rest.split_off(..len));
    }
    bursts
}

/// A recording with the events and blocks in it.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) recording: Recording,
    /// The events that clients dispatch.
    pub(crate) events: Vec<Event>,
    /// The other terminated blocks of lines. They have no data, so clients don't dispatch them.
    pub(crate) blocks: Vec<Event>,
    /// The last event, if its empty line has not arrived.
    pub(crate) incomplete: Option<Event>,
    /// The number of comment lines between events.
    pub(crate) comments: usize,
}

impl Stream {
    pub(crate) fn new(recording: Recording) -> Self {
        let (events, blocks, incomplete) = (vec![], vec![], None);
        let mut stream = Self { recording, events, blocks, incomplete, comments: 0 };
        // The splitter needs no limit, because the recording has one.
        let mut splitter = EventSplitter::new().max_event_size(usize::MAX);
        let (mut start, mut position) = (0, 0);
        let mut bytes = take(&mut stream.recording.bytes);
        let chunks = take(&mut stream.recording.chunks);
        'split: for Chunk { at, end } in &chunks {
            let mut input = bytes.get(start..*end).unwrap_or_default();
            start = *end;
            while let Ok(Some(piece)) = splitter.next(&mut input) {
                stream.push(piece, *at, &mut position);
                if stream.events.len() + stream.blocks.len() >= MAX_EVENTS {
                    // Treat the bytes after the last checked event as unread.
                    bytes.truncate(position);
                    (stream.recording.end, stream.recording.end_at) = (End::Open, *at);
                    stream.recording.is_full = true;
                    break 'split;
                }
            }
        }
        if let Some(piece) = splitter.finish() {
            stream.push(piece, stream.recording.end_at, &mut position);
        }
        (stream.recording.bytes, stream.recording.chunks) = (bytes, chunks);
        stream
    }

    /// Returns whether an event came that the server did not make for this connection alone. While
    /// the stream stays open, a single event within a second of the head counts as a greeting.
    pub(crate) fn has_event(&self) -> bool {
        let mut events = self.events.iter().filter(|it| !it.is_own());
        let Some(first) = events.next() else { return false };
        let is_greeting = self.recording.is_open() && self.is_at_once(first.at);
        !is_greeting || events.next().is_some()
    }

    /// Returns whether the answer makes an `EventSource` reconnect later: a stream that ends soon,
    /// with nothing but comments and reconnection times. `SseLayer` holds it open for a second.
    pub(crate) fn is_refusal(&self) -> bool {
        let Self { recording, events, blocks, incomplete, .. } = self;
        let is_empty = events.is_empty() && blocks.is_empty() && incomplete.is_none();
        let end = recording.end_at.saturating_sub(Duration::from_secs(1));
        let is_over = recording.end == End::Clean && self.is_at_once(end);
        recording.is_event_stream() && recording.is_decoded() && is_empty && is_over
    }

    fn is_at_once(&self, at: Duration) -> bool {
        self.recording.head.as_ref().is_some_and(|(head, _)| at < *head + AT_ONCE)
    }

    fn push(&mut self, piece: Piece<'_>, at: Duration, position: &mut usize) {
        let start = *position;
        *position += piece.as_bytes().len();
        match piece {
            Piece::Event(event) => {
                let id = event.id().filter(|id| !id.is_empty()).map(Into::into);
                let (name, data) = (event.name().into_owned(), event.data_bytes().into_owned());
                let copy = Event { at, range: start..*position, id, name, data };
                if !event.is_terminated() {
                    self.incomplete = Some(copy);
                } else if event.has_data() {
                    self.events.push(copy);
                } else {
                    self.blocks.push(copy);
                }
            }
            Piece::Comment(comment) => {
                self.comments += usize::from(comment.ends_with(b"\n") || comment.ends_with(b"\r"));
            }
            _ => {}
        }
    }

    /// Returns the events with ids, except heartbeats. `last` is the id with which the client asked.
    pub(crate) fn with_ids<'a>(
        &'a self,
        last: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a str, &'a Event)> {
        let head = self.recording.head.as_ref().map_or(Duration::ZERO, |(at, _)| *at);
        let mut before = last.map(|id| (id, head));
        let events = self.events.iter().map(|it| (it, true));
        // A heartbeat also repeats the id of a block that has no event.
        let mut all: Vec<_> = events.chain(self.blocks.iter().map(|it| (it, false))).collect();
        all.sort_by_key(|(it, _)| it.range.start);
        all.into_iter().filter_map(move |(it, is_event)| {
            let id = it.id.as_deref()?;
            let same = before.replace((id, it.at)).filter(|(before, _)| *before == id);
            let is_heartbeat = same.is_some_and(|(_, at)| it.at >= at + HEARTBEAT);
            (is_event && !is_heartbeat).then_some((id, it))
        })
    }

    pub(crate) fn raw(&self, event: &Event) -> &[u8] {
        self.recording.bytes.get(event.range.clone()).unwrap_or_default()
    }

    /// Returns the longest silence, when it began, and whether it lasted until the end.
    pub(crate) fn longest_silence(&self) -> (Duration, Duration, bool) {
        let recording = &self.recording;
        let mut from = recording.head.as_ref().map_or(recording.sent, |(at, _)| *at);
        let mut longest = (Duration::ZERO, from, false);
        for to in recording.chunks.iter().map(|chunk| chunk.at) {
            longest = longest.max((to.saturating_sub(from), from, false));
            from = to;
        }
        longest.max((recording.end_at.saturating_sub(from), from, true))
    }
}
