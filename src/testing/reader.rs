use std::{collections::VecDeque, fmt};

use bytes::{Buf, Bytes};

use super::{body_bytes::BodyBytes, received::Received};
use crate::{
    BoxError,
    event::{Decoder, Line, Message, Piece, text, without_line_end},
};

/// A reader of the messages and comments of a body. It decodes no further than it has to, so that
/// what a test sees does not depend on how the body's frames are cut.
#[derive(Debug)]
pub(super) struct Reader {
    body: BodyBytes,
    /// The part of the last frame that is not decoded.
    data: Bytes,
    /// The parts of a comment that is not complete.
    comment: Vec<u8>,
    pub(super) decoder: Decoder,
    /// Messages that the test has not taken.
    pub(super) messages: VecDeque<Message>,
    /// Comments that the test has not taken.
    pub(super) comments: VecDeque<String>,
    pub(super) end: Option<End>,
    /// Empty frames, empty lines and events without data since the last message or comment.
    empties: usize,
    received: Received,
}

/// How a stream has ended.
#[derive(Debug)]
pub(super) enum End {
    Clean,
    Failed(BoxError),
    /// The stream does not stop: its messages and comments exceed [`MAX_WAITING`].
    TooMuch,
    /// The stream does not stop, but sends neither messages nor comments.
    TooEmpty,
}

/// The number of messages and comments that may wait to be taken. A stream that is always ready
/// would otherwise fill the memory, and never reach a time limit.
const MAX_WAITING: usize = 100_000;
/// The length of a comment.
const MAX_COMMENT: usize = 1 << 20;
/// The number of consecutive empty frames, empty lines and events without data. A stream that is
/// always ready would otherwise never reach a time limit either.
const MAX_EMPTIES: usize = 100_000;

impl Reader {
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

    /// Reads until `take` returns something, or returns `None` at the end of the stream.
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
        // A failing body waits until its frames are dropped.
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

    /// Decodes up to the end of an event or of what stands between events, or all data if nothing
    /// ends in it.
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
            // The size of an incomplete event is limited.
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

impl fmt::Display for Reader {
    /// Lists what has been received, for the text of a panic.
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
