use std::{collections::VecDeque, fmt};

use crate::event::Message;

/// What a test has received from a stream, for the text of a panic: the total, and a line for each
/// of the newest.
#[derive(Debug, Default)]
pub(super) struct Received {
    total: usize,
    newest: VecDeque<String>,
}

/// The number of lines in the text of a panic.
const MAX_LINES: usize = 16;
/// The number of characters of data in a line.
const MAX_CHARS: usize = 100;

impl Received {
    pub(super) fn message(&mut self, Message { event, data, last_event_id, .. }: &Message) {
        let mut line = format!("{event} {}", Excerpt(data));
        if !last_event_id.is_empty() {
            line += &format!(", id {}", Excerpt(last_event_id));
        }
        self.push(line);
    }

    pub(super) fn comment(&mut self, text: &str) {
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

/// Quoted text, cut to a length that can be read.
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
