use super::{
    id::Id,
    resp::{Command, Reply},
    server::{Outcome, Server, integer, number},
    stream::{Fields, Stream},
    value::Value,
};

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
        // Redis trims whole nodes of its tree approximately. Hubs keep at least 10,000 entries,
        // which no simulation has.
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
        let start = bound(&command[start], 0)?.after().ok_or_else(|| invalid("start"))?;
        let end = bound(&command[end], u64::MAX)?.before().ok_or_else(|| invalid("end"))?;
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

    pub(super) fn remove(&mut self, now: u64, command: &Command) -> Result<Reply, Reply> {
        let Some(stream) = self.existing(now, &command[1])? else { return Ok(integer(0)) };
        let ids = command[2..].iter().map(|id| Id::parse(id, 0));
        let ids: Vec<_> = ids.collect::<Result<_, _>>()?;
        Ok(integer(ids.into_iter().filter(|id| stream.remove(*id)).count()))
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

/// One end of a range.
struct Bound {
    id: Id,
    is_exclusive: bool,
}

impl Bound {
    fn after(&self) -> Option<Id> {
        if self.is_exclusive { self.id.next() } else { Some(self.id) }
    }

    fn before(&self) -> Option<Id> {
        if self.is_exclusive { self.id.previous() } else { Some(self.id) }
    }
}

fn bound(text: &[u8], default_counter: u64) -> Result<Bound, Reply> {
    let inclusive = |id| Bound { id, is_exclusive: false };
    match text {
        b"-" => Ok(inclusive(Id::MIN)),
        b"+" => Ok(inclusive(Id::MAX)),
        [b'(', id @ ..] => Ok(Bound { id: Id::parse(id, default_counter)?, is_exclusive: true }),
        id => Id::parse(id, default_counter).map(inclusive),
    }
}
