use std::collections::BTreeMap;

use super::{
    id::Id,
    lua,
    resp::{Command, Reply},
    stream::{Fields, Stream},
    value::Value,
};

/// One server: its keys, and the identity that it has until it restarts.
#[derive(Clone, Debug, Default)]
pub(super) struct Server {
    pub(super) run_id: String,
    pub(super) keys: BTreeMap<Vec<u8>, Key>,
    /// The texts of the scripts that are loaded, by their hashes.
    pub(super) scripts: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The channels and the texts of messages that are published and not sent yet.
    pub(super) published: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) value: Value,
    /// The time in milliseconds at which the key vanishes.
    expires_at: Option<u64>,
}

impl Server {
    /// Executes a command at this time in milliseconds.
    pub(super) fn execute(&mut self, now: u64, command: &Command) -> Reply {
        self.try_execute(now, command).unwrap_or_else(|error| error)
    }

    fn try_execute(&mut self, now: u64, command: &Command) -> Result<Reply, Reply> {
        match &command[0][..] {
            b"PING" => Ok(Reply::Simple("PONG")),
            b"CLIENT" => Ok(Reply::OK),
            b"INFO" => Ok(Reply::bulk(self.info())),
            b"TIME" => {
                let parts = [now / 1000, now % 1000 * 1000];
                Ok(Reply::Array(parts.map(Reply::bulk).into()))
            }
            b"XADD" => self.add(now, command),
            b"XLEN" => {
                Ok(integer(self.existing(now, &command[1])?.map_or(0, |stream| stream.len())))
            }
            b"XRANGE" => self.range(now, command, false),
            b"XREVRANGE" => self.range(now, command, true),
            b"XTRIM" => self.trim(now, command),
            b"HSET" => self.set_fields(now, command),
            b"HGET" => self.field(now, command),
            b"HMGET" => self.many_fields(now, command),
            b"DEL" => {
                Ok(integer(command[1..].iter().filter(|key| self.take(now, key).is_some()).count()))
            }
            b"EXISTS" => Ok(integer(usize::from(self.key(now, &command[1]).is_some()))),
            b"PEXPIRE" => {
                let milliseconds: u64 = number(&command[2]);
                let key = self.key(now, &command[1]);
                let is_set = key.map(|key| key.expires_at = Some(now + milliseconds)).is_some();
                Ok(integer(usize::from(is_set)))
            }
            b"FLUSHALL" => {
                self.keys.clear();
                Ok(Reply::OK)
            }
            b"SCRIPT" => Ok(self.load_script(command)),
            b"EVAL" => Ok(lua::run(self, now, &command[1], command)),
            b"EVALSHA" => match self.scripts.get(&command[1]).cloned() {
                Some(text) => Ok(lua::run(self, now, &text, command)),
                None => Err(Reply::Error("NOSCRIPT No matching script.".to_owned())),
            },
            b"PUBLISH" => {
                self.published.push((command[1].clone(), command[2].clone()));
                // The connections know the subscribers.
                Ok(integer(0))
            }
            name => panic!("the model does not know {}", String::from_utf8_lossy(name)),
        }
    }

    fn info(&self) -> String {
        let server = format!("# Server\r\nredis_mode:standalone\r\nrun_id:{}\r\n", self.run_id);
        format!("{server}# Memory\r\nmaxmemory:0\r\n# Replication\r\nrole:master\r\n")
    }

    /// `SCRIPT LOAD text`
    fn load_script(&mut self, command: &Command) -> Reply {
        assert_eq!(command[1], b"LOAD");
        let hash = lua::hash(&command[2]);
        self.scripts.insert(hash.clone(), command[2].clone());
        Reply::Bulk(hash)
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

    pub(super) fn value(&mut self, now: u64, name: &[u8]) -> Option<&mut Value> {
        self.key(now, name).map(|key| &mut key.value)
    }

    /// Returns the value of a key, which is created if it is missing.
    pub(super) fn value_or(
        &mut self,
        now: u64,
        name: &[u8],
        create: impl FnOnce() -> Value,
    ) -> &mut Value {
        self.key(now, name);
        let key = self.keys.entry(name.to_vec());
        &mut key.or_insert_with(|| Key { value: create(), expires_at: None }).value
    }

    fn existing(&mut self, now: u64, name: &[u8]) -> Result<Option<&mut Stream>, Reply> {
        self.value(now, name).map(Value::stream).transpose()
    }

    /// `XADD key [NOMKSTREAM] id field value …`
    fn add(&mut self, now: u64, command: &Command) -> Result<Reply, Reply> {
        let creates = command[2] != b"NOMKSTREAM";
        let rest = &command[if creates { 2 } else { 3 }..];
        let id = Id::parse(&rest[0], 0)?;
        let fields = rest[1..].to_vec();
        if fields.is_empty() || fields.len() % 2 == 1 {
            return Err(Reply::error("wrong number of arguments for 'xadd' command"));
        }
        if id == Id::MIN {
            return Err(Reply::error("The ID specified in XADD must be greater than 0-0"));
        }
        if !creates && self.key(now, &command[1]).is_none() {
            return Ok(Reply::Nil);
        }
        let stream = self.value_or(now, &command[1], || Value::Stream(Stream::default()));
        stream.stream()?.add(Some(id), now, Fields::new(fields)).map(Reply::bulk)
    }

    /// `XRANGE key start end [COUNT count]`, or `XREVRANGE key end start [COUNT count]`
    fn range(&mut self, now: u64, command: &Command, is_reversed: bool) -> Result<Reply, Reply> {
        let (start, end) = if is_reversed { (3, 2) } else { (2, 3) };
        let start = if command[start] == b"-" { Id::MIN } else { Id::parse(&command[start], 0)? };
        let end = if command[end] == b"+" { Id::MAX } else { Id::parse(&command[end], u64::MAX)? };
        let count = command.get(5).map_or(usize::MAX, |count| number(count));
        let stream = self.existing(now, &command[1])?;
        let empty = || Reply::Array(Vec::new());
        Ok(stream.map_or_else(empty, |stream| stream.range(start..=end, count, is_reversed)))
    }

    /// `XTRIM key MINID id`
    fn trim(&mut self, now: u64, command: &Command) -> Result<Reply, Reply> {
        assert_eq!(command[2], b"MINID");
        let first = Id::parse(&command[3], 0)?;
        let stream = self.existing(now, &command[1])?;
        Ok(integer(stream.map_or(0, |stream| stream.trim_below(first))))
    }
}

pub(super) fn number<T: std::str::FromStr>(text: &[u8]) -> T {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("not a number: {}", String::from_utf8_lossy(text)))
}

pub(super) fn integer(count: usize) -> Reply {
    Reply::Integer(i64::try_from(count).expect("a small count"))
}
