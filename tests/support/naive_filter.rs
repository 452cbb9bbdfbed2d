//! What a filter is expected to make of a stream, from the events that the oracle finds in it. The
//! oracle sees the stream as a whole, and shares no code with the filters of the crate.

use super::naive::{self, Block, Part, parts};

/// A verdict, which a test can copy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Choice {
    Pass,
    Drop,
    Replace,
    Insert,
    End,
    Fail,
    Reject,
}

impl Choice {
    pub const ALL: [Self; 7] =
        [Self::Pass, Self::Drop, Self::Replace, Self::Insert, Self::End, Self::Fail, Self::Reject];
}

#[derive(Clone, Debug)]
pub struct Plan {
    /// The verdicts on events, in order; all later events pass.
    pub events: Vec<Choice>,
    pub source_end: Choice,
    pub max_event_size: usize,
    /// Whether the source fails instead of ending.
    pub fails: bool,
}

pub const ADDED: &str = "event: added\ndata: by the filter\n\n";

#[derive(Debug, Default, PartialEq)]
pub struct Expected {
    pub sent: Vec<u8>,
    pub error: Option<&'static str>,
    pub outcome: &'static str,
    pub seen: Vec<Block>,
    pub source_ends: Vec<&'static str>,
    /// Whether an event or an empty line was dropped before anything was sent.
    pub starts_late: bool,
    pub time: Time,
}

/// The last reconnection time behind the last event that was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Time {
    #[default]
    None,
    InBlock,
    /// In a block whose empty line was dropped.
    InEarlierBlock,
}

pub const TOO_LARGE: &str = "is larger than";
pub const BY_FILTER: &str = "by the filter";
pub const REJECTED: &str = "rejected";
pub const OF_SOURCE: &str = "of the source";

pub fn filtered(stream: &[u8], plan: &Plan) -> Expected {
    let mut expected = Expected::default();
    let mut parts = parts(stream);
    let last = parts.pop_if(|part| !is_whole(part));
    for part in parts {
        let (raw, is_too_large) = match &part {
            Part::Event(block) => (block.raw.clone(), block.size > plan.max_event_size),
            Part::Line(line) => {
                (line.clone(), is_retry(line) && len_to_cr(line) > plan.max_event_size)
            }
        };
        let has_time = match &part {
            Part::Event(block) => block.retry.is_some(),
            Part::Line(line) => naive::read(line).retry.is_some(),
        };
        match part {
            _ if is_too_large => return too_large(expected),
            Part::Event(block) => match expected.decide(block, plan) {
                Some(true) => {
                    expected.separate_times(has_time);
                    expected.pass(raw);
                    expected.time = Time::None;
                }
                Some(false) => {}
                None => {
                    let has_failed = expected.error == Some(BY_FILTER);
                    expected.outcome = if has_failed { "filter_failed" } else { "stopped" };
                    return expected;
                }
            },
            Part::Line(line) if line.iter().all(|byte| b"\r\n".contains(byte)) => {
                expected.starts_late |= expected.sent.is_empty();
                if expected.time == Time::InBlock {
                    expected.time = Time::InEarlierBlock;
                }
            }
            Part::Line(_) => {
                expected.separate_times(has_time);
                expected.pass(raw);
                if has_time {
                    expected.time = Time::InBlock;
                }
            }
        }
    }
    expected.end(last, plan)
}

fn too_large(expected: Expected) -> Expected {
    Expected { error: Some(TOO_LARGE), outcome: "too_large", ..expected }
}

fn is_retry(line: &[u8]) -> bool {
    line.starts_with(b"retry")
}

/// Returns the length of a line without the LF of its CRLF.
fn len_to_cr(line: &[u8]) -> usize {
    line.strip_suffix(b"\r\n").map_or(line.len(), |line| line.len() + 1)
}

fn is_whole(part: &Part) -> bool {
    match part {
        Part::Event(block) => block.is_terminated,
        Part::Line(line) => line.ends_with(b"\n") || line.ends_with(b"\r") || line[0] == 0xef,
    }
}

impl Expected {
    /// Returns `self` without what a correct filter may do differently, and without what only the
    /// oracle knows.
    pub fn comparable(self) -> Self {
        Self { seen: naive::comparable(self.seen), starts_late: false, time: Time::None, ..self }
    }

    /// Keeps two reconnection times in blocks of their own: some clients reject a block with two.
    fn separate_times(&mut self, has_time: bool) {
        if has_time && self.time == Time::InEarlierBlock {
            self.sent.push(b'\n');
        }
    }

    /// Sends bytes of the source. If they begin like a byte order mark and everything before them
    /// was dropped, a line end comes first: a client would ignore a mark at the start of the
    /// stream.
    fn pass(&mut self, raw: Vec<u8>) {
        if self.sent.is_empty() && self.starts_late && raw.first() == Some(&0xef) {
            self.sent.push(b'\n');
        }
        self.sent.extend(raw);
    }

    /// Returns whether the event passes, or `None` if the verdict ends the stream.
    fn decide(&mut self, block: Block, plan: &Plan) -> Option<bool> {
        let choice = plan.events.get(self.seen.len()).copied().unwrap_or(Choice::Pass);
        self.seen.push(block);
        if matches!(choice, Choice::Replace | Choice::Insert | Choice::End) {
            self.sent.extend(ADDED.bytes());
            self.time = Time::None;
        }
        match choice {
            Choice::Pass | Choice::Insert => Some(true),
            Choice::Drop | Choice::Replace => {
                self.starts_late |= self.sent.is_empty();
                Some(false)
            }
            Choice::End => None,
            Choice::Fail | Choice::Reject => {
                self.error = Some(if choice == Choice::Fail { BY_FILTER } else { REJECTED });
                None
            }
        }
    }

    /// Adds the end of the source. `last` is the unfinished event or line before it, if there is
    /// one.
    fn end(mut self, last: Option<Part>, plan: &Plan) -> Self {
        let (mut tail, mut is_mid_event, mut line_end) = (vec![], false, "");
        match last {
            Some(Part::Event(block)) if block.size > plan.max_event_size => {
                return too_large(self);
            }
            Some(Part::Event(_)) if plan.fails => {}
            Some(Part::Event(block)) => {
                is_mid_event = true;
                let raw = block.raw.clone();
                match self.decide(block, plan) {
                    Some(true) => tail = raw,
                    Some(false) => {}
                    None => {
                        self.outcome = "mid_event";
                        return self;
                    }
                }
            }
            Some(Part::Line(line)) if is_retry(&line) => {
                if line.len() > plan.max_event_size {
                    return too_large(self);
                } else if !plan.fails {
                    tail = line;
                }
            }
            Some(Part::Line(comment)) => {
                line_end = "\n";
                self.sent.extend(comment);
            }
            None => {}
        }
        self.source_ends.push(match () {
            () if plan.fails => "failed",
            () if is_mid_event => "mid_event",
            () => "clean",
        });
        self.outcome = match self.source_ends[0] {
            "clean" => "completed",
            end => end,
        };
        let choice = plan.source_end;
        if matches!(choice, Choice::Replace | Choice::Insert | Choice::End) {
            if self.sent.ends_with(b"\r") {
                // The CR may be half of a CRLF.
                line_end = "\n";
            }
            self.sent.extend(line_end.bytes());
            self.sent.extend(ADDED.bytes());
        }
        let is_whole = self.outcome == "completed";
        let by_filter = |outcome| if is_whole { outcome } else { self.outcome };
        let (failed, stopped) = (by_filter("filter_failed"), by_filter("stopped"));
        match choice {
            Choice::Fail => (self.error, self.outcome) = (Some(BY_FILTER), failed),
            Choice::Reject => (self.error, self.outcome) = (Some(REJECTED), stopped),
            Choice::Pass | Choice::Insert if plan.fails => self.error = Some(OF_SOURCE),
            Choice::Pass | Choice::Insert | Choice::Drop | Choice::Replace | Choice::End => {}
        }
        if !matches!(choice, Choice::Fail | Choice::Reject) {
            self.pass(tail);
        }
        self
    }
}
