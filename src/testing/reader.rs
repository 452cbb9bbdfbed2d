use std::{collections::VecDeque, fmt, mem};

use bytes::Bytes;
use memchr::memchr2;

use super::{body_bytes::BodyBytes, received::Received};
use crate::{
    BoxError,
    event::{Decoder, Message},
};

/// A reader of the messages and comments of a body. It decodes no further than it has to, so that
/// what a test sees does not depend on how the body's frames are cut.
#[derive(Debug)]
pub(super) struct Reader {
    body: BodyBytes,
    /// The part of the last frame that is not decoded.
    data: Bytes,
    /// The incomplete line.
    line: Vec<u8>,
    /// No line has been taken, so a byte order mark may come.
    is_first_line: bool,
    /// The last line ended with a CR, so the LF of a CRLF may follow.
    after_cr: bool,
    decoder: Decoder,
    /// Messages that the test has not taken.
    pub(super) messages: VecDeque<Message>,
    /// Comments that the test has not taken.
    pub(super) comments: VecDeque<String>,
    pub(super) end: Option<End>,
    /// Empty frames and empty lines since the last message or comment.
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
/// The number of consecutive empty frames and empty lines. A stream that is always ready would
/// otherwise never reach a time limit either. Other lines count towards the size of an event, which
/// the decoder limits.
const MAX_EMPTIES: usize = 100_000;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Reader {
    pub(super) fn new(body: BodyBytes) -> Self {
        Self {
            body,
            data: Bytes::new(),
            line: Vec::new(),
            is_first_line: true,
            after_cr: false,
            decoder: Decoder::new(),
            messages: VecDeque::new(),
            comments: VecDeque::new(),
            end: None,
            empties: 0,
            received: Received::default(),
        }
    }

    pub(super) const fn decoder(&self) -> &Decoder {
        &self.decoder
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
                self.decode_line();
            }
        }
    }

    async fn read_data(&mut self) {
        // A failing body waits until its frames are dropped.
        self.data = Bytes::new();
        match self.body.next().await {
            Some(Ok(data)) => {
                if data.is_empty() {
                    self.count_empty();
                }
                self.data = data;
            }
            Some(Err(error)) => self.end = Some(End::Failed(error)),
            None => self.end = Some(End::Clean),
        }
    }

    /// Decodes up to the end of a line, or all data if no line ends in it.
    fn decode_line(&mut self) {
        let line_end = memchr2(b'\n', b'\r', &self.data);
        let mut part = self.data.split_to(line_end.map_or(self.data.len(), |end| end + 1));
        self.line.extend_from_slice(&part);
        if line_end.is_some() {
            self.take_line();
        }
        match self.decoder.decode(&mut part) {
            Ok(Some(message)) => {
                self.empties = 0;
                self.received.message(&message);
                self.messages.push_back(message);
            }
            Ok(None) => {}
            Err(error) => self.end = Some(End::Failed(error.into())),
        }
        if self.messages.len() + self.comments.len() > MAX_WAITING {
            self.end = Some(End::TooMuch);
        }
    }

    fn count_empty(&mut self) {
        self.empties += 1;
        if self.empties > MAX_EMPTIES {
            self.end = Some(End::TooEmpty);
        }
    }

    /// Takes the complete line, with its CR or LF. The LF of a CRLF comes as a line of its own.
    fn take_line(&mut self) {
        let after_cr = mem::replace(&mut self.after_cr, self.line.ends_with(b"\r"));
        if mem::take(&mut self.is_first_line) && self.line.starts_with(BYTE_ORDER_MARK) {
            self.line.drain(..BYTE_ORDER_MARK.len());
        }
        if *self.line == *b"\r" || *self.line == *b"\n" && !after_cr {
            self.count_empty();
        } else if let [b':', text @ .., _] = &*self.line {
            let text = String::from_utf8_lossy(text.strip_prefix(b" ").unwrap_or(text));
            self.empties = 0;
            self.received.comment(&text);
            self.comments.push_back(text.into_owned());
        }
        self.line.clear();
    }
}

impl fmt::Display for Reader {
    /// Lists what has been received, for the text of a panic.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.received)?;
        if !self.line.is_empty() {
            write!(f, "\nand an incomplete line: {:?}", String::from_utf8_lossy(&self.line))?;
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
