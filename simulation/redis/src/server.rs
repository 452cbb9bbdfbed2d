use super::{refusal::WRITES, *};

/// One server, as it is between two commands.
#[derive(Clone, Debug, Default)]
pub(super) struct Server {
    pub(super) run_id: String,
    pub(super) is_cluster: bool,
    pub(super) replication: Replication,
    /// The number of commands that may have replaced a key's value.
    pub(super) replacements: u64,
    pub(super) keys: BTreeMap<Vec<u8>, Key>,
    pub(super) refusal: Option<Refusal>,
    /// The millisecond of the last `TIME` command, and how many `TIME` commands came before it in
    /// the same millisecond.
    pub(super) asked_at: (u64, u64),
    /// A count that grows with each command that may change data. Blocked readers then look again.
    pub(super) changes: u64,
    /// The texts of the scripts that are loaded, by their hashes.
    pub(super) scripts: BTreeMap<Vec<u8>, Arc<[u8]>>,
    /// The channels and the texts of messages that are published and not sent yet.
    pub(super) published: Vec<(Channel, Vec<u8>)>,
}

/// A channel, and whether it belongs to a slot of a cluster.
pub(super) type Channel = (bool, Vec<u8>);

#[derive(Clone, Debug)]
pub(super) struct Key {
    value: Value,
    /// The time in milliseconds at which the key vanishes.
    pub(super) expires_at: Option<u64>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    Reply(Reply),
    /// The reader waits for entries, for up to this number of milliseconds.
    Blocked {
        milliseconds: u64,
    },
}

impl Server {
    pub(super) fn node() -> Self {
        Self { is_cluster: true, ..Self::default() }
    }

    /// Executes a command of a client at this time in milliseconds.
    pub(super) fn execute(&mut self, now: u64, command: &Command) -> Outcome {
        if is_write(command) {
            self.changes += 1;
        }
        match self.refused(command) {
            Some(refused) => Outcome::Reply(refused),
            None if command[0] == b"XREAD" => {
                self.read(now, command).unwrap_or_else(Outcome::Reply)
            }
            None => Outcome::Reply(self.call(now, command)),
        }
    }

    /// Returns the error with which this server refuses a command now, if it does.
    pub(super) fn refused(&self, command: &Command) -> Option<Reply> {
        let refusal = self.refusal?;
        match &command[0][..] {
            b"EVAL" => refusal.of_script(&command[1]),
            b"EVALSHA" => refusal.of_script(self.scripts.get(&command[1])?),
            name => refusal.of(name),
        }
    }

    /// Executes a command that does not wait and is not refused.
    pub(super) fn call(&mut self, now: u64, command: &Command) -> Reply {
        self.try_call(now, command).unwrap_or_else(|error| error)
    }

    fn try_call(&mut self, now: u64, command: &Command) -> Result<Reply, Reply> {
        match &command[0][..] {
            b"PING" => Ok(Reply::Simple("PONG")),
            b"CLIENT" => Ok(Reply::OK),
            b"TIME" => {
                // A call takes longer than a microsecond, so the next call returns a later time.
                let in_millisecond = if self.asked_at.0 == now { self.asked_at.1 + 1 } else { 0 };
                self.asked_at = (now, in_millisecond.min(999));
                let parts = [now / 1000, now % 1000 * 1000 + self.asked_at.1];
                Ok(Reply::Array(parts.map(Reply::bulk).into()))
            }
            b"INFO" => Ok(Reply::bulk(self.info())),
            b"XADD" => self.add(now, command),
            b"XLEN" => self.length(now, command),
            b"XRANGE" => self.range(now, command, false),
            b"XREVRANGE" => self.range(now, command, true),
            b"XTRIM" => self.trim(now, command),
            b"MEMORY" => self.memory(now, command),
            b"HSET" => self.set_fields(now, command),
            b"HGET" => Ok(self.fields(now, command)?.remove(0)),
            b"HMGET" => self.fields(now, command).map(Reply::Array),
            b"HKEYS" | b"HGETALL" => self.all_fields(now, command),
            b"HDEL" => self.delete_fields(now, command),
            b"SCRIPT" => Ok(self.load_script(command)),
            b"EVAL" => Ok(lua::run(self, now, Arc::from(&command[1][..]), command)),
            b"EVALSHA" => {
                let missing = || Reply::Error("NOSCRIPT No matching script.".to_owned());
                let text = self.scripts.get(&command[1]).cloned().ok_or_else(missing)?;
                Ok(lua::run(self, now, text, command))
            }
            name @ (b"PUBLISH" | b"SPUBLISH") => {
                let channel = (name == b"SPUBLISH", command[1].clone());
                self.published.push((channel, command[2].clone()));
                // The server does not know the subscribers, so it does not count them.
                Ok(integer(0))
            }
            _ => self.change_keys(now, command),
        }
    }

    /// Executes a command on keys, whatever their values are.
    fn change_keys(&mut self, now: u64, command: &Command) -> Result<Reply, Reply> {
        match &command[0][..] {
            b"DEL" => {
                Ok(integer(command[1..].iter().filter(|key| self.take(now, key).is_some()).count()))
            }
            b"EXISTS" => {
                let found = command[1..].iter().filter(|key| self.key(now, key).is_some());
                Ok(integer(found.count()))
            }
            b"RENAME" => {
                let no_key = || Reply::error("no such key");
                let key = self.take(now, &command[1]).ok_or_else(no_key)?;
                self.replacements += 1;
                self.keys.insert(command[2].clone(), key);
                Ok(Reply::OK)
            }
            // `COPY source destination REPLACE`
            b"COPY" => {
                self.replacements += 1;
                let copy = self.key(now, &command[1]).cloned();
                let is_copied = copy.is_some();
                self.keys.extend(copy.map(|copy| (command[2].clone(), copy)));
                Ok(integer(usize::from(is_copied)))
            }
            b"FLUSHALL" => {
                self.keys.clear();
                Ok(Reply::OK)
            }
            b"PEXPIRE" => {
                let milliseconds: u64 = number(&command[2]);
                let key = self.key(now, &command[1]);
                let is_set = key.map(|key| key.expires_at = Some(now + milliseconds)).is_some();
                Ok(integer(usize::from(is_set)))
            }
            b"PTTL" => {
                let left = self.key(now, &command[1]).map(|key| {
                    key.expires_at.map_or(-1, |at| i64::try_from(at - now).expect("a short time"))
                });
                Ok(Reply::Integer(left.unwrap_or(-2)))
            }
            name => panic!("the model does not know {}", String::from_utf8_lossy(name)),
        }
    }

    pub(super) fn info(&self) -> String {
        let role = if self.refusal == Some(Refusal::ReadOnly) { "slave" } else { "master" };
        let mode = if self.is_cluster { "cluster" } else { "standalone" };
        let server = format!("# Server\r\nredis_mode:{mode}\r\nrun_id:{}\r\n", self.run_id);
        let ([history, changes], replacements) = (self.replication.info(), self.replacements);
        format!(
            "{server}# Memory\r\nmaxmemory:0\r\n# Replication\r\nrole:{role}\r\n{history}\
             # Commandstats\r\n{changes}cmdstat_copy:calls={replacements},usec=1\r\n"
        )
    }

    /// `SCRIPT LOAD text`, or `SCRIPT FLUSH`
    fn load_script(&mut self, command: &Command) -> Reply {
        if command[1] == b"FLUSH" {
            self.scripts.clear();
            return Reply::OK;
        }
        assert_eq!(command[1], b"LOAD");
        let hash = lua::hash(&command[2]);
        self.scripts.insert(hash.clone(), Arc::from(&command[2][..]));
        Reply::Bulk(hash)
    }

    /// Returns the key, unless it is missing or has expired.
    pub(super) fn key(&mut self, now: u64, name: &[u8]) -> Option<&mut Key> {
        if self.keys.get(name)?.expires_at.is_some_and(|at| at <= now) {
            self.keys.remove(name);
        }
        self.keys.get_mut(name)
    }

    pub(super) fn take(&mut self, now: u64, name: &[u8]) -> Option<Key> {
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

    /// Returns the names of the keys that never expire.
    pub(super) fn eternal_keys(&self) -> Vec<String> {
        let eternal = self.keys.iter().filter(|(_, key)| key.expires_at.is_none());
        eternal.map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
    }

    /// Returns about how many bytes the keys that have not expired would take in Redis.
    pub(super) fn memory_of_keys(&self, now: u64) -> usize {
        self.kept(now).map(|(name, value)| name.len() + value.memory()).sum()
    }

    pub(super) fn kept(&self, now: u64) -> impl Iterator<Item = (&Vec<u8>, &Value)> {
        let kept =
            self.keys.iter().filter(move |(_, key)| key.expires_at.is_none_or(|at| at > now));
        kept.map(|(name, key)| (name, &key.value))
    }

    pub(super) fn streams(&self) -> impl Iterator<Item = (&[u8], &Stream)> {
        self.keys.iter().filter_map(|(name, key)| match &key.value {
            Value::Stream(stream) => Some((&name[..], stream)),
            Value::Hash(_) => None,
        })
    }

    pub(super) fn hub_stream(&self) -> Option<&Stream> {
        self.streams().find(|(key, _)| *key == KEY).map(|(_, stream)| stream)
    }

    /// Removes the newest entries of each stream: a replica that is behind does not have them.
    pub(super) fn forget_newest(&mut self, count: usize) {
        for key in self.keys.values_mut() {
            if let Value::Stream(stream) = &mut key.value {
                stream.forget_newest(count);
            }
        }
    }
}

/// Returns whether blocked readers look again after a command.
fn is_write(command: &Command) -> bool {
    let name = &command[0][..];
    name.starts_with(b"EVAL") || WRITES.iter().any(|write| write.as_bytes() == name)
}

pub(super) fn number<T: std::str::FromStr>(text: &[u8]) -> T {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("not a number: {}", String::from_utf8_lossy(text)))
}

pub(super) fn integer(count: usize) -> Reply {
    Reply::Integer(i64::try_from(count).expect("a small count"))
}
