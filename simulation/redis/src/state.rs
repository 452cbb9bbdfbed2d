use tokio::sync::mpsc::UnboundedSender;

use super::{server::Channel, *};

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) rng: fastrand::Rng,
    pub(super) machines: Vec<Machine>,
    /// The machine to which the name of the server leads.
    pub(super) current: usize,
    /// Another machine to which the name leads half of the time.
    pub(super) alternative: Option<usize>,
    pub(super) snapshot: Option<Server>,
    pub(super) links: Vec<Link>,
    pub(super) connections: Vec<Connection>,
    /// The maximum latency in each direction, in milliseconds.
    pub(super) latency: u64,
    pub(super) commands: usize,
    /// The entries that were added while another copy of the stream had their id or a higher one.
    pub(super) overtaken: Vec<Added>,
    /// The markers of losses. A copy of the stream that lacks one can later get another marker with
    /// the same id.
    pub(super) markers: Vec<Added>,
    /// A command of an operator, and the number of commands after which it is executed.
    pub(super) appointment: Option<(usize, &'static [&'static str])>,
    /// A process that a node has redirected too often over one connection.
    pub(super) stays_redirected: Option<usize>,
    /// The time of the last failover within a cluster.
    pub(super) failed_over_at: Option<Instant>,
}

/// An entry that was added to the hubs' stream.
#[derive(Clone, Debug, Default)]
pub struct Added {
    pub id: String,
    pub fields: Fields,
    /// The milliseconds since the beginning.
    pub at: u64,
}

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) server: Server,
    pub(super) is_up: bool,
    pub(super) is_paused: bool,
    /// By how many milliseconds the machine's clock is ahead.
    pub(super) clock_offset: i64,
}

/// The data that a server has when it restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    All,
    None,
    Snapshot,
}

/// The link of one process to the servers.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) is_cut_off: bool,
    /// Whether new connections are refused.
    pub(super) is_shut_out: bool,
    /// Whether messages and replies with entries are held.
    pub(super) holds_reads: bool,
    /// The additional latency of messages and replies with entries, in milliseconds.
    pub(super) read_delay: u64,
    /// The bytes that pass in a second in each direction, if that is limited.
    pub(super) bandwidth: Option<u64>,
    /// When the link will have passed on all bytes under way, by direction.
    pub(super) busy_until: [Option<Instant>; 2],
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Direction {
    ToServer,
    ToProcess,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) process: usize,
    pub(super) machine: usize,
    pub(super) ended: CancellationToken,
    pub(super) cut_at: Option<Cut>,
    /// Whether all packets of the connection are dropped.
    pub(super) drops_packets: bool,
    /// The channels to which the client has subscribed over this connection.
    pub(super) channels: BTreeSet<Channel>,
    /// When redirects of this connection were counted.
    pub(super) redirects: Vec<Instant>,
    /// The replies and messages on their way to the client.
    pub(super) sending: UnboundedSender<Sent>,
}

/// The moment at which a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    Now,
    /// Before the next command takes effect.
    BeforeCommand,
    /// After the next command has taken effect, and before its reply.
    AfterCommand,
}

impl Cut {
    pub const ALL: [Self; 3] = [Self::Now, Self::BeforeCommand, Self::AfterCommand];
}

impl State {
    /// Adds a machine, whose clock is ahead by a number of milliseconds.
    pub(super) fn add_machine(&mut self, server: Server, clock_offset: i64) -> usize {
        let mut machine = Machine { server, is_up: true, is_paused: false, clock_offset };
        machine.server.run_id = self.next_run_id();
        machine.server.replication = Replication::new(machine.server.run_id.clone());
        machine.server.replacements = 0;
        // Neither replication nor a restart keeps scripts.
        machine.server.scripts.clear();
        self.machines.push(machine);
        self.machines.len() - 1
    }

    pub(super) fn next_run_id(&mut self) -> String {
        format!("{:040x}", self.rng.u128(..))
    }

    pub(super) fn next_latency(&mut self) -> u64 {
        self.rng.u64(..=self.latency)
    }

    pub(super) fn current(&mut self) -> &mut Machine {
        &mut self.machines[self.current]
    }

    /// Records what a command has added to the hubs' stream: an entry that is overtaken, or a
    /// marker that a script has added.
    pub(super) fn record(
        &mut self,
        machine: usize,
        at: u64,
        command: &Command,
        outcome: &Outcome,
    ) -> Option<()> {
        let Outcome::Reply(Reply::Bulk(id)) = outcome else { return None };
        let stream = self.machines[machine].server.hub_stream()?;
        let (newest, fields) = stream.entries().next_back()?;
        let added = Added { id: newest.to_string(), fields: Arc::clone(fields), at };
        if added.id.as_bytes() != id {
            return None;
        }
        if command[0] == b"EVAL" && fields[0] == b"gap" {
            self.markers.push(added);
        } else if command[0] == b"XADD" && self.copies(machine).any(|it| it.last() >= newest) {
            self.overtaken.push(added);
        }
        Some(())
    }

    /// Returns the streams that can replace this machine's hub stream: those of other machines in
    /// use, those under other keys, and those of the snapshot.
    fn copies(&self, machine: usize) -> impl Iterator<Item = &Stream> {
        let machines = self.machines.iter().enumerate();
        let serving = machines.filter(|(number, it)| it.is_up || *number == self.current);
        let served = serving.flat_map(move |(number, it)| {
            it.server.streams().filter(move |(key, _)| number != machine || *key != KEY)
        });
        let kept = self.snapshot.iter().flat_map(Server::streams);
        served.chain(kept).map(|(_, stream)| stream)
    }

    /// Kills a machine, which breaks its connections.
    pub(super) fn kill(&mut self, machine: usize) {
        self.machines[machine].is_up = false;
        self.machines[machine].is_paused = false;
        for connection in self.connections.iter().filter(|other| other.machine == machine) {
            connection.ended.cancel();
        }
    }

    pub(super) fn restart(&mut self, data: Data) {
        let (run_id, id) = (self.next_run_id(), self.next_run_id());
        // A server that loads a snapshot continues its history. A server that loads an append-only
        // file, or nothing, begins another.
        let continues = data != Data::None && self.rng.bool();
        let snapshot = self.snapshot.clone();
        let machine = self.current();
        let mut replication = Replication::new(id.clone());
        if continues {
            replication.take_over(&machine.server.replication, id);
        }
        let is_cluster = machine.server.is_cluster;
        match data {
            Data::All => {}
            Data::None => machine.server = Server::default(),
            Data::Snapshot => machine.server = snapshot.unwrap_or_default(),
        }
        (machine.server.run_id, machine.server.replication) = (run_id, replication);
        machine.server.is_cluster = is_cluster;
        machine.server.replacements = 0;
        machine.server.scripts.clear();
        machine.server.refusal = None;
        machine.is_up = true;
    }
}

/// Commands on hashes, with which runs keep their claims.
impl Server {
    /// `HSET key field value …`
    pub(super) fn set_fields(&mut self, now: u64, command: &Command) -> Result<Reply, Reply> {
        let fields = &command[2..];
        if fields.is_empty() || fields.len() % 2 == 1 {
            return Err(Reply::error("wrong number of arguments for 'hset' command"));
        }
        let value = self.value_or(now, &command[1], || Value::Hash(BTreeMap::new()));
        let hash = value.hash()?;
        let added = fields
            .chunks_exact(2)
            .filter(|pair| hash.insert(pair[0].clone(), pair[1].clone()).is_none());
        Ok(integer(added.count()))
    }

    /// `HKEYS key`, or `HGETALL key`
    pub(super) fn all_fields(&mut self, now: u64, command: &Command) -> Result<Reply, Reply> {
        let Some(value) = self.value(now, &command[1]) else { return Ok(Reply::Array(vec![])) };
        let has_values = command[0] == b"HGETALL";
        let parts = value.hash()?.iter().flat_map(|(name, value)| {
            [name].into_iter().chain(has_values.then_some(value)).cloned().map(Reply::Bulk)
        });
        Ok(Reply::Array(parts.collect()))
    }

    /// `HDEL key field …`
    pub(super) fn delete_fields(&mut self, now: u64, command: &Command) -> Result<Reply, Reply> {
        let Some(value) = self.value(now, &command[1]) else { return Ok(integer(0)) };
        let hash = value.hash()?;
        let count = command[2..].iter().filter(|name| hash.remove(*name).is_some()).count();
        if hash.is_empty() {
            self.take(now, &command[1]);
        }
        Ok(integer(count))
    }

    /// `HMGET key field …`, or `HGET key field`
    pub(super) fn fields(&mut self, now: u64, command: &Command) -> Result<Vec<Reply>, Reply> {
        let names = &command[2..];
        let Some(value) = self.value(now, &command[1]) else {
            return Ok(vec![Reply::Nil; names.len()]);
        };
        let hash = value.hash()?;
        let field = |name| hash.get(name).map_or(Reply::Nil, |value| Reply::Bulk(value.clone()));
        Ok(names.iter().map(field).collect())
    }
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Stream(Stream),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
}

impl Value {
    /// Returns about how many bytes the value takes in Redis 7.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Stream(stream) => 600 + stream.bytes().max(4_096),
            Self::Hash(hash) => {
                150 + hash.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>()
            }
        }
    }

    pub(super) fn stream(&mut self) -> Result<&mut Stream, Reply> {
        if let Self::Stream(stream) = self { Ok(stream) } else { Err(wrong_type()) }
    }

    pub(super) fn hash(&mut self) -> Result<&mut BTreeMap<Vec<u8>, Vec<u8>>, Reply> {
        if let Self::Hash(hash) = self { Ok(hash) } else { Err(wrong_type()) }
    }
}

fn wrong_type() -> Reply {
    let text = "WRONGTYPE Operation against a key holding the wrong kind of value";
    Reply::Error(text.to_owned())
}

impl Network {
    /// Returns the current server's streams of runs that have lost their key to another run. Streams
    /// with an end only are left out: if a run was stopped before it began, no process has it, and
    /// its stream expires by itself. So a run that was replaced before it began isn't checked.
    pub fn streams_of_replaced_runs(&self) -> Vec<String> {
        let state = self.lock();
        let now = self.now(&state, state.current);
        let server = &state.machines[state.current].server;
        let streams = server
            .kept(now)
            .filter(|(_, value)| matches!(value, Value::Stream(stream) if stream.len() > 1));
        let replaced = streams.filter(|(name, _)| server.is_replaced(now, name));
        replaced.map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
    }
}

impl Server {
    /// Returns whether the claim on the key of a run's stream has another epoch than the stream.
    fn is_replaced(&self, now: u64, stream: &[u8]) -> bool {
        let Some(end) = stream.iter().rposition(|byte| *byte == b'}') else { return false };
        let (claim, epoch) = (&stream[..=end], &stream[end + 2..]);
        let claim = self.kept(now).find(|(name, _)| *name == claim).map(|(_, value)| value);
        let Some(Value::Hash(fields)) = claim else { return false };
        fields.get(&b"e"[..]).is_some_and(|e| e != epoch)
    }
}
