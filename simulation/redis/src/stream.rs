use std::{fmt, ops::RangeInclusive};

use super::*;

/// The fields of an entry: alternating names and values.
pub type Fields = Arc<Vec<Vec<u8>>>;

/// A stream: its entries, and the last id that it has assigned.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    entries: BTreeMap<Id, Fields>,
    last: Id,
}

impl Stream {
    /// Adds an entry with `id`, which must be above the newest id. Without an `id`, the entry gets
    /// the first id of the millisecond `now`. If the newest id is of this millisecond or a later
    /// one, the entry gets the id after the newest.
    pub(super) fn add(&mut self, id: Option<Id>, now: u64, fields: Fields) -> Result<Id, Reply> {
        let exhausted = "The stream has exhausted the last possible ID, unable to add more items";
        let next = self.last.next().ok_or_else(|| Reply::error(exhausted))?;
        let id = match id {
            Some(id) if id <= self.last => {
                return Err(Reply::error(
                    "The ID specified in XADD is equal or smaller than the target stream top item",
                ));
            }
            Some(id) => id,
            None if now > self.last.milliseconds() => Id::first(now),
            None => next,
        };
        self.entries.insert(id, fields);
        self.last = id;
        Ok(id)
    }

    /// Adds an entry with the next id in this millisecond.
    pub(super) fn add_in(&mut self, millisecond: u64, fields: Fields) -> Result<Id, Reply> {
        let next = self.last.next().filter(|next| next.milliseconds() == millisecond);
        self.add(Some(next.unwrap_or(Id::first(millisecond))), 0, fields)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        let size = |fields: &Fields| 32 + fields.iter().map(Vec::len).sum::<usize>();
        self.entries.values().map(size).sum()
    }

    pub(super) const fn last(&self) -> Id {
        self.last
    }

    pub(super) fn has(&self, range: RangeInclusive<Id>) -> bool {
        range.start() <= range.end() && self.entries.range(range).next().is_some()
    }

    pub fn entries(&self) -> impl DoubleEndedIterator<Item = (Id, &Fields)> {
        self.entries.iter().map(|(id, fields)| (*id, fields))
    }

    pub(super) fn range(
        &self,
        range: RangeInclusive<Id>,
        count: usize,
        is_reversed: bool,
    ) -> Reply {
        if range.start() > range.end() {
            return Reply::Array(Vec::new());
        }
        let entries = self.entries.range(range).map(entry);
        Reply::Array(if is_reversed {
            entries.rev().take(count).collect()
        } else {
            entries.take(count).collect()
        })
    }

    pub(super) fn trim(&mut self, length: usize) -> usize {
        let excess = self.entries.len().saturating_sub(length);
        (0..excess).for_each(|_| _ = self.entries.pop_first());
        excess
    }

    pub(super) fn trim_below(&mut self, first: Id) -> usize {
        let kept = self.entries.split_off(&first);
        std::mem::replace(&mut self.entries, kept).len()
    }

    /// Removes the newest entries, which a replica that is behind does not have.
    pub(super) fn forget_newest(&mut self, count: usize) {
        (0..count).for_each(|_| _ = self.entries.pop_last());
        self.last = self.entries.last_key_value().map_or(Id::MIN, |(id, _)| *id);
    }
}

fn entry((id, fields): (&Id, &Fields)) -> Reply {
    let fields = fields.iter().map(|field| Reply::Bulk(field.clone())).collect();
    Reply::Array(vec![Reply::bulk(id), Reply::Array(fields)])
}

/// The id of an entry: its milliseconds, and a counter in the lower half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(u128);

impl Id {
    pub(super) const MIN: Self = Self(0);
    pub(super) const MAX: Self = Self(u128::MAX);

    fn first(milliseconds: u64) -> Self {
        Self(u128::from(milliseconds) << 64)
    }

    fn milliseconds(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// Parses an id, which can leave out the counter.
    pub(super) fn parse(text: &[u8], default_counter: u64) -> Result<Self, Reply> {
        let invalid = || Reply::error("Invalid stream ID specified as stream command argument");
        let text = std::str::from_utf8(text).map_err(|_| invalid())?;
        let number = |digits: &str| -> Result<u64, Reply> {
            // `parse` also accepts a plus sign.
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| is_number).ok_or_else(invalid)
        };
        let (milliseconds, counter) = match text.split_once('-') {
            Some((milliseconds, counter)) => (number(milliseconds)?, number(counter)?),
            None => (number(text)?, default_counter),
        };
        Ok(Self(Self::first(milliseconds).0 + u128::from(counter)))
    }

    /// Returns the next id, unless this is the last one.
    fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }

    fn previous(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.milliseconds(), self.0 as u64)
    }
}

/// Commands on streams.
impl Server {
    fn existing(&mut self, now: u64, name: &[u8]) -> Result<Option<&mut Stream>, Reply> {
        self.value(now, name).map(Value::stream).transpose()
    }

    /// `XADD key [NOMKSTREAM] [MAXLEN ~ length] id field value …`
    pub(super) fn add(&mut self, now: u64, command: &Command) -> Result<Reply, Reply> {
        let (key, mut rest) = (&command[1], &command[2..]);
        let creates = rest[0] != b"NOMKSTREAM";
        if !creates {
            rest = &rest[1..];
        }
        // With `~`, Redis removes only whole nodes of its tree. The model removes nothing, because
        // no simulation has 10,000 entries.
        if rest[0] == b"MAXLEN" {
            assert_eq!(rest[1], b"~");
            assert!(number::<usize>(&rest[2]) >= 10_000);
            rest = &rest[3..];
        }
        let fields = Fields::new(rest[1..].to_vec());
        let millisecond = rest[0].strip_suffix(b"-*").map(number);
        let id = match &rest[0][..] {
            b"*" => None,
            _ if millisecond.is_some() => None,
            id => Some(Id::parse(id, 0)?),
        };
        if fields.is_empty() || fields.len() % 2 == 1 {
            return Err(Reply::error("wrong number of arguments for 'xadd' command"));
        }
        if id == Some(Id::MIN) {
            return Err(Reply::error("The ID specified in XADD must be greater than 0-0"));
        }
        if !creates && self.key(now, key).is_none() {
            return Ok(Reply::Nil);
        }
        let stream = self.value_or(now, key, || Value::Stream(Stream::default())).stream()?;
        let added = match millisecond {
            Some(millisecond) => stream.add_in(millisecond, fields),
            None => stream.add(id, now, fields),
        };
        added.map(Reply::bulk)
    }

    pub(super) fn length(&mut self, now: u64, command: &Command) -> Result<Reply, Reply> {
        Ok(integer(self.existing(now, &command[1])?.map_or(0, |stream| stream.len())))
    }

    /// `MEMORY USAGE key`
    pub(super) fn memory(&mut self, now: u64, command: &Command) -> Result<Reply, Reply> {
        let stream = self.existing(now, &command[2])?;
        Ok(stream.map_or(Reply::Nil, |stream| integer(100 * stream.len())))
    }

    /// `XRANGE key start end [COUNT count]`, or `XREVRANGE key end start [COUNT count]`
    pub(super) fn range(
        &mut self,
        now: u64,
        command: &Command,
        is_reversed: bool,
    ) -> Result<Reply, Reply> {
        let (start, end) = if is_reversed { (3, 2) } else { (2, 3) };
        let invalid = |end| Reply::error(&format!("invalid {end} ID for the interval"));
        let start = bound(&command[start], 0, Id::next)?.ok_or_else(|| invalid("start"))?;
        let end = bound(&command[end], u64::MAX, Id::previous)?.ok_or_else(|| invalid("end"))?;
        let count = command.get(5).map_or(usize::MAX, |count| number(count));
        let empty = || Reply::Array(Vec::new());
        let stream = self.existing(now, &command[1])?;
        Ok(stream.map_or_else(empty, |stream| stream.range(start..=end, count, is_reversed)))
    }

    /// `XREAD COUNT count BLOCK milliseconds STREAMS key id`
    pub(super) fn read(&mut self, now: u64, command: &Command) -> Result<Outcome, Reply> {
        let [_, _, count, _, milliseconds, _, key, last] = &command[..] else {
            panic!("the model does not know this form of XREAD")
        };
        let last = Id::parse(last, 0)?;
        let blocked = Ok(Outcome::Blocked { milliseconds: number(milliseconds) });
        let Some(first) = last.next() else { return blocked };
        let range = first..=Id::MAX;
        match self.existing(now, key)? {
            Some(stream) if stream.has(range.clone()) => {
                let entries = stream.range(range, number(count), false);
                let stream = Reply::Array(vec![Reply::Bulk(key.clone()), entries]);
                Ok(Outcome::Reply(Reply::Array(vec![stream])))
            }
            _ => blocked,
        }
    }

    /// `XTRIM key MAXLEN = length`, or `XTRIM key MINID [=] id`
    pub(super) fn trim(&mut self, now: u64, command: &Command) -> Result<Reply, Reply> {
        let [_, key, what, .., limit] = &command[..] else {
            panic!("the model does not know this form of XTRIM")
        };
        let first = (what == b"MINID").then(|| Id::parse(limit, 0)).transpose()?;
        let Some(stream) = self.existing(now, key)? else { return Ok(integer(0)) };
        Ok(integer(match first {
            Some(first) => stream.trim_below(first),
            None => stream.trim(number(limit)),
        }))
    }
}

/// Returns one end of a range: for an exclusive end, the id beside the given one, if there is one.
fn bound(
    text: &[u8],
    default_counter: u64,
    beside: impl Fn(Id) -> Option<Id>,
) -> Result<Option<Id>, Reply> {
    match text {
        b"-" => Ok(Some(Id::MIN)),
        b"+" => Ok(Some(Id::MAX)),
        [b'(', id @ ..] => Id::parse(id, default_counter).map(beside),
        id => Id::parse(id, default_counter).map(Some),
    }
}
