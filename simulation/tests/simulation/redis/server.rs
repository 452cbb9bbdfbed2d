use std::collections::BTreeMap;

use super::{
    id::Id,
    refusal::{Refusal, WRITES},
    resp::{Command, Reply},
    script,
    stream::{Fields, Stream},
};

/// One server: its keys, and the identity that it has until it restarts.
#[derive(Clone, Debug, Default)]
pub(super) struct Server {
    pub(super) run_id: String,
    pub(super) keys: BTreeMap<Vec<u8>, Key>,
    pub(super) refusal: Option<Refusal>,
    /// The number of changes, by which blocked readers notice one.
    pub(super) changes: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Key {
    pub(super) stream: Stream,
    /// The time in milliseconds at which the key vanishes.
    expires_at: Option<u64>,
}

/// The result of a command.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    Reply(Reply),
    /// The reader waits for entries, for up to this number of milliseconds.
    Blocked {
        milliseconds: u64,
    },
}

impl Server {
    /// Executes a command at this time in milliseconds.
    pub(super) fn execute(&mut self, now: u64, command: &Command) -> Outcome {
        let name = String::from_utf8_lossy(&command[0]).to_uppercase();
        if let Err(refused) = self.check(&name) {
            return Outcome::Reply(refused);
        }
        if is_write(command) {
            self.changes += 1;
        }
        if name == "XREAD" {
            return self.read(now, command).unwrap_or_else(Outcome::Reply);
        }
        let reply = match name.as_str() {
            "PING" => Ok(Reply::Simple("PONG")),
            "CLIENT" => Ok(Reply::OK),
            "TIME" => {
                let parts = [now / 1000, now % 1000 * 1000];
                Ok(Reply::Array(parts.map(Reply::bulk).into()))
            }
            "INFO" => Ok(Reply::bulk(format!(
                "# Server\r\nredis_version:7.0.15\r\nrun_id:{}\r\ntcp_port:6379\r\n",
                self.run_id
            ))),
            "XADD" => self.add(now, command),
            "XLEN" => self
                .existing(now, &command[1])
                .map(|stream| integer(stream.map_or(0, |stream| stream.len()))),
            "XRANGE" => self.range(now, command, false),
            "XREVRANGE" => self.range(now, command, true),
            "XDEL" => self.remove(now, command),
            "XTRIM" => self.trim(now, command),
            "DEL" | "UNLINK" => {
                Ok(integer(command[1..].iter().filter(|key| self.take(now, key).is_some()).count()))
            }
            "EXISTS" => Ok(integer(usize::from(self.key(now, &command[1]).is_some()))),
            "RENAME" => match self.take(now, &command[1]) {
                Some(key) => {
                    self.keys.insert(command[2].clone(), key);
                    Ok(Reply::OK)
                }
                None => Err(Reply::error("no such key")),
            },
            "COPY" => Ok(self.copy(now, command)),
            "FLUSHALL" => {
                self.keys.clear();
                Ok(Reply::OK)
            }
            "PEXPIRE" => {
                let milliseconds: u64 = number(&command[2]);
                let key = self.key(now, &command[1]);
                Ok(integer(usize::from(
                    key.map(|key| key.expires_at = Some(now + milliseconds)).is_some(),
                )))
            }
            "PERSIST" => {
                let key = self.key(now, &command[1]);
                Ok(integer(usize::from(key.is_some_and(|key| key.expires_at.take().is_some()))))
            }
            "EVAL" => script::eval(self, now, command),
            _ => panic!("the model does not know {name}"),
        };
        Outcome::Reply(reply.unwrap_or_else(|error| error))
    }

    /// Returns the error with which this server answers a command now, if it refuses it.
    pub(super) fn check(&self, name: &str) -> Result<(), Reply> {
        self.refusal.and_then(|refusal| refusal.of(name)).map_or(Ok(()), Err)
    }

    /// Returns the key, unless it is missing or has expired.
    fn key(&mut self, now: u64, name: &[u8]) -> Option<&mut Key> {
        if self.keys.get(name)?.expires_at.is_some_and(|at| at <= now) {
            self.keys.remove(name);
        }
        self.keys.get_mut(name)
    }

    fn take(&mut self, now: u64, name: &[u8]) -> Option<Key> {
        self.key(now, name)?;
        self.keys.remove(name)
    }

    pub(super) fn existing(&mut self, now: u64, name: &[u8]) -> Result<Option<&mut Stream>, Reply> {
        Ok(self.key(now, name).map(|key| &mut key.stream))
    }

    /// Returns the stream, and creates it if it is missing.
    pub(super) fn stream(&mut self, now: u64, name: &[u8]) -> Result<&mut Stream, Reply> {
        self.key(now, name);
        Ok(&mut self.keys.entry(name.to_vec()).or_default().stream)
    }

    /// `XADD key [NOMKSTREAM] [MAXLEN ~ length] id field value …`
    fn add(&mut self, now: u64, command: &Command) -> Result<Reply, Reply> {
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
        let id = match &rest[0][..] {
            b"*" => None,
            id => Some(Id::parse(id, 0)?),
        };
        let fields = rest[1..].to_vec();
        if fields.is_empty() || fields.len() % 2 == 1 {
            return Err(Reply::error("wrong number of arguments for 'xadd' command"));
        }
        if id == Some(Id::MIN) {
            return Err(Reply::error("The ID specified in XADD must be greater than 0-0"));
        }
        if !creates && self.key(now, key).is_none() {
            return Ok(Reply::Nil);
        }
        self.stream(now, key)?.add(id, now, Fields::new(fields)).map(Reply::bulk)
    }

    /// `XRANGE key start end [COUNT count]`, or `XREVRANGE key end start [COUNT count]`
    fn range(&mut self, now: u64, command: &Command, is_reversed: bool) -> Result<Reply, Reply> {
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
    fn read(&mut self, now: u64, command: &Command) -> Result<Outcome, Reply> {
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

    fn remove(&mut self, now: u64, command: &Command) -> Result<Reply, Reply> {
        let Some(stream) = self.existing(now, &command[1])? else { return Ok(integer(0)) };
        let ids = command[2..].iter().map(|id| Id::parse(id, 0));
        let ids: Vec<_> = ids.collect::<Result<_, _>>()?;
        Ok(integer(ids.into_iter().filter(|id| stream.remove(*id)).count()))
    }

    /// `XTRIM key MAXLEN = length`
    fn trim(&mut self, now: u64, command: &Command) -> Result<Reply, Reply> {
        assert_eq!([&command[2][..], &command[3]], [&b"MAXLEN"[..], b"="]);
        let length = number(&command[4]);
        Ok(integer(self.existing(now, &command[1])?.map_or(0, |stream| stream.trim(length))))
    }

    /// `COPY source destination REPLACE`
    fn copy(&mut self, now: u64, command: &Command) -> Reply {
        let copy = self.key(now, &command[1]).cloned();
        let is_copied = copy.is_some();
        if let Some(copy) = copy {
            self.keys.insert(command[2].clone(), copy);
        }
        integer(usize::from(is_copied))
    }
}

/// Returns whether a command can change data.
pub(super) fn is_write(command: &Command) -> bool {
    let name = String::from_utf8_lossy(&command[0]).to_uppercase();
    name == "EVAL" || WRITES.contains(&name.as_str())
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

pub(super) fn number<T: std::str::FromStr>(text: &[u8]) -> T {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("not a number: {}", String::from_utf8_lossy(text)))
}

fn integer(count: usize) -> Reply {
    Reply::Integer(i64::try_from(count).expect("a small count"))
}
