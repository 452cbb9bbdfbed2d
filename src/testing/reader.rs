use std::task::{Context, Poll};
use std::{collections::VecDeque, fmt, future::poll_fn, time::Duration};

use bytes::{Buf, Bytes};
use http_body::Body;
use tokio::time::timeout;

use crate::BoxError;
use crate::decode::{Decoder, Line, Message, Piece, text, without_line_end};

/// A reader that decodes only what a test waits for, so no test depends on the body's frames.
#[derive(Debug)]
pub(super) struct StreamReader {
    body: BodyBytes,
    data: Bytes,
    comment: Vec<u8>,
    pub(super) decoder: Decoder,
    pub(super) messages: VecDeque<Message>,
    pub(super) comments: VecDeque<String>,
    pub(super) end: Option<End>,
    /// The number of empty frames, and of pieces without messages or comments, since the last
    /// message or comment.
    empties: usize,
    received: Received,
}

#[derive(Debug)]
pub(super) enum End {
    Clean,
    Failed(BoxError),
    /// The stream does not stop: [`MAX_WAITING`] or [`MAX_COMMENT`] is exceeded.
    TooMuch,
    /// The stream does not stop, but sends neither messages nor comments.
    TooEmpty,
}

/// The maximum number of messages and comments that the test has not taken. A stream that is always
/// ready would otherwise fill the memory and never reach a time limit.
const MAX_WAITING: usize = 100_000;
const MAX_COMMENT: usize = 1 << 20;
/// The maximum of [`StreamReader::empties`]. A stream that is always ready would otherwise never
/// reach a time limit.
const MAX_EMPTIES: usize = 100_000;

impl StreamReader {
    pub(super) fn new(body: BodyBytes) -> Self {
        Self {
            body,
            data: Bytes::new(),
            comment: Vec::new(),
            decoder: Decoder::new(),
            messages: VecDeque::new(),
            comments: VecDeque::new(),
            end: None,
            empties: 0,
            received: Received::default(),
        }
    }

    /// Reads until `take` returns a value, and returns that value. Returns `None` if `end` is set
    /// and `take` returns `None`.
    ///
    /// Cancel safe: what has been read stays in the reader.
    pub(super) async fn read_until<T>(
        &mut self,
        mut take: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<T> {
        loop {
            if let Some(taken) = take(self) {
                return Some(taken);
            }
            if self.end.is_some() {
                return None;
            }
            if self.data.is_empty() {
                self.read_data().await;
            } else {
                self.decode_piece();
            }
            if self.empties > MAX_EMPTIES {
                self.end = Some(End::TooEmpty);
            } else if self.messages.len() + self.comments.len() > MAX_WAITING {
                self.end = Some(End::TooMuch);
            }
        }
    }

    async fn read_data(&mut self) {
        // Drops the last frame first, because a failing body waits until its frames are dropped.
        self.data = Bytes::new();
        match self.body.next().await {
            Some(Ok(data)) => {
                self.empties += usize::from(data.is_empty());
                self.data = data;
            }
            Some(Err(error)) => self.end = Some(End::Failed(error)),
            None => self.end = Some(End::Clean),
        }
    }

    fn decode_piece(&mut self) {
        let mut rest = &self.data[..];
        match self.decoder.decode_piece(&mut rest) {
            Ok(Some((Piece::Event(event), message))) => {
                self.empties += 1;
                for (_, comment) in event.fields().filter(|(name, _)| name.is_empty()) {
                    push_comment(comment, &mut self.comments, &mut self.received);
                    self.empties = 0;
                }
                if let Some(message) = message {
                    self.empties = 0;
                    self.received.message(&message);
                    self.messages.push_back(message);
                }
            }
            Ok(Some((Piece::Comment(part), _))) => {
                self.comment.extend_from_slice(part);
                let line = without_line_end(&self.comment);
                if line.len() > MAX_COMMENT {
                    self.end = Some(End::TooMuch);
                } else if line.len() < self.comment.len()
                    && let Line::Comment(comment) = Line::parse(line)
                {
                    push_comment(comment, &mut self.comments, &mut self.received);
                    self.empties = 0;
                    self.comment.clear();
                }
            }
            Ok(Some(_)) => self.empties += 1,
            // Not counted: the decoder fails once an incomplete event is too large.
            Ok(None) => {}
            Err(error) => self.end = Some(End::Failed(error.into())),
        }
        let consumed = self.data.len() - rest.len();
        self.data.advance(consumed);
    }
}

fn push_comment(comment: &[u8], comments: &mut VecDeque<String>, received: &mut Received) {
    let comment = text(comment);
    received.comment(&comment);
    comments.push_back(comment.into_owned());
}

impl fmt::Display for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.received)?;
        let incomplete = [&self.comment, self.decoder.incomplete()].concat();
        if !incomplete.is_empty() {
            write!(f, "\nand an incomplete event or line: {:?}", text(&incomplete))?;
        }
        Ok(())
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clean => f.write_str("the stream has ended"),
            Self::Failed(error) => write!(f, "the body has failed ({error})"),
            Self::TooMuch => write!(f, "more than {MAX_WAITING} messages and comments have come"),
            Self::TooEmpty => f.write_str("only empty frames and events without data have come"),
        }
    }
}

#[derive(Debug, Default)]
struct Received {
    total: usize,
    newest: VecDeque<String>,
}

const MAX_LINES: usize = 16;
const MAX_CHARS: usize = 100;

impl Received {
    fn message(&mut self, Message { event, data, last_event_id, .. }: &Message) {
        let mut line = format!("{event} {}", Excerpt(data));
        if !last_event_id.is_empty() {
            line += &format!(", id {}", Excerpt(last_event_id));
        }
        self.push(line);
    }

    fn comment(&mut self, text: &str) {
        self.push(format!("comment {}", Excerpt(text)));
    }

    fn push(&mut self, line: String) {
        if self.newest.len() == MAX_LINES {
            self.newest.pop_front();
        }
        self.newest.push_back(line);
        self.total += 1;
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { total, newest } = self;
        if newest.is_empty() {
            return f.write_str("nothing has been received");
        }
        write!(f, "received, oldest first ({total} in total):")?;
        if *total > newest.len() {
            f.write_str("\n  …")?;
        }
        newest.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

struct Excerpt<'t>(&'t str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(MAX_CHARS) {
            None => write!(f, "{:?}", self.0),
            Some((end, _)) => {
                let (excerpt, _) = self.0.split_at(end);
                write!(f, "{excerpt:?}… ({} bytes)", self.0.len())
            }
        }
    }
}

/// The maximum number of bytes of a body that a panic shows, and of frames read for this text.
const MAX_BEGINNING: usize = 1024;

/// The maximum number of frames of a body that is read to its end.
const MAX_FRAMES: usize = 100_000;

pub(super) struct BodyBytes(Option<Box<PollBytes>>);

type PollBytes = dyn FnMut(&mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> + Send;

impl BodyBytes {
    pub(super) fn new<B>(body: B) -> Self
    where
        B: Body<Error: Into<BoxError>> + Send + 'static,
    {
        let mut body = Box::pin(body);
        Self(Some(Box::new(move |cx| {
            body.as_mut().poll_frame(cx).map_err(Into::into).map_ok(|frame| {
                let data = frame.into_data().ok();
                data.map_or_else(Bytes::new, |mut data| data.copy_to_bytes(data.remaining()))
            })
        })))
    }

    /// Returns the data of the next frame. Drops the body when it ends or fails.
    async fn next(&mut self) -> Option<Result<Bytes, BoxError>> {
        let poll = self.0.as_mut()?;
        let item = poll_fn(poll).await;
        if !matches!(item, Some(Ok(_))) {
            self.0 = None;
        }
        item
    }

    pub(super) async fn whole(&mut self) -> Result<Bytes, BoxError> {
        let mut whole = Vec::new();
        // A body that is always ready would never reach the time limit.
        for _ in 0..MAX_FRAMES {
            let Some(data) = self.next().await else { return Ok(whole.into()) };
            whole.extend_from_slice(&data?);
        }
        Err(format!("it has not ended after {MAX_FRAMES} frames").into())
    }

    /// Returns, as text, the part of the body that comes within a second, up to [`MAX_BEGINNING`].
    pub(super) async fn beginning(&mut self) -> String {
        let mut beginning = Vec::new();
        // The number of frames is limited too, because they may be empty and always ready.
        _ = timeout(Duration::from_secs(1), async {
            for _ in 0..MAX_BEGINNING {
                if beginning.len() >= MAX_BEGINNING {
                    break;
                }
                let Some(Ok(data)) = self.next().await else { break };
                beginning.extend_from_slice(&data);
            }
        })
        .await;
        beginning.truncate(MAX_BEGINNING);
        String::from_utf8_lossy(&beginning).into_owned()
    }
}

opaque_debug!(BodyBytes);
