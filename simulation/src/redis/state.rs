use std::collections::BTreeSet;

use tokio::{sync::mpsc::UnboundedSender, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    KEY,
    connection::Sent,
    id::Id,
    resp::{Command, Reply},
    server::{Outcome, Server},
    stream::{Fields, Stream},
};

/// The state of the servers and of the network.
#[derive(Debug)]
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
    /// The number of commands so far.
    pub(super) commands: usize,
    pub(super) overtaken: Vec<Overtaken>,
    pub(super) markers: Vec<Marker>,
    /// A command of an operator, which is executed when this number of commands has arrived.
    pub(super) appointment: Option<(usize, Vec<String>)>,
}

/// An entry that was added while another copy of the stream had its id or a higher one, which is
/// then ahead of the server's clock.
#[derive(Clone, Debug)]
pub struct Overtaken {
    pub fields: Fields,
    /// The milliseconds since the beginning.
    pub at: u64,
}

/// A marker of a loss that was added to the hubs' stream. A copy of the stream without it can have
/// another one with the same id later.
#[derive(Clone, Debug)]
pub struct Marker {
    pub id: String,
    /// The milliseconds since the beginning.
    pub at: u64,
}

/// A machine with one server.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) server: Server,
    pub(super) is_up: bool,
    pub(super) is_paused: bool,
    /// The milliseconds that its clock is ahead.
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
    /// Whether messages and replies with entries are held.
    pub(super) holds_reads: bool,
    /// The latency of messages and replies with entries, in milliseconds.
    pub(super) read_delay: u64,
    /// The bytes that pass in a second in each direction, if that is limited.
    pub(super) bandwidth: Option<u64>,
    /// Until when the bytes that are under way take the link, by direction.
    pub(super) busy_until: [Option<Instant>; 2],
}

/// The direction of bytes on a link.
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
    /// The channels to which it is subscribed.
    pub(super) channels: BTreeSet<Vec<u8>>,
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

impl State {
    /// Adds a machine, whose clock is ahead by a number of milliseconds.
    pub(super) fn add_machine(&mut self, server: Server, clock_offset: i64) -> usize {
        let mut machine = Machine { server, is_up: true, is_paused: false, clock_offset };
        machine.server.run_id = self.next_run_id();
        machine.server.replication_id = machine.server.run_id.clone();
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

    /// Records the entry that a command has added to the hubs' stream, if it is overtaken.
    pub(super) fn record_overtaken(
        &mut self,
        machine: usize,
        at: u64,
        command: &Command,
        outcome: &Outcome,
    ) {
        let Outcome::Reply(Reply::Bulk(id)) = outcome else { return };
        if command[0] != b"XADD" || command[1] != KEY {
            return;
        }
        let id = Id::parse(id, 0).unwrap();
        if self.copies(machine).any(|copy| copy.last() >= id) {
            let stream = self.machines[machine].server.streams().find(|(key, _)| *key == KEY);
            let (_, fields) = stream.unwrap().1.entries().next_back().unwrap();
            self.overtaken.push(Overtaken { fields: Fields::clone(fields), at });
        }
    }

    /// Records the marker that a script has added to the hubs' stream.
    pub(super) fn record_marker(
        &mut self,
        machine: usize,
        at: u64,
        command: &Command,
        outcome: &Outcome,
    ) {
        let Outcome::Reply(Reply::Bulk(id)) = outcome else { return };
        let mut streams = self.machines[machine].server.streams();
        let Some((_, stream)) = streams.find(|(key, _)| *key == KEY) else { return };
        let Some((newest, fields)) = stream.entries().next_back() else { return };
        let is_marker = command[0] == b"EVAL" && fields[0] == b"gap";
        let newest = newest.to_string();
        if is_marker && newest.as_bytes() == id {
            self.markers.push(Marker { id: newest, at });
        }
    }

    /// Returns all streams but that of this machine: those of other machines, those under other
    /// keys, and those of the snapshot.
    fn copies(&self, machine: usize) -> impl Iterator<Item = &Stream> {
        let machines = self.machines.iter().enumerate();
        let serving = machines.filter(|(number, it)| it.is_up || *number == self.current);
        let served = serving.flat_map(move |(number, it)| {
            it.server.streams().filter(move |(key, _)| number != machine || *key != KEY)
        });
        let kept = self.snapshot.iter().flat_map(Server::streams);
        served.chain(kept).map(|(_, stream)| stream)
    }

    pub(super) fn take_snapshot(&mut self) {
        self.snapshot = Some(self.current().server.clone());
    }

    /// Kills a machine, which breaks its connections.
    pub(super) fn kill(&mut self, machine: usize) {
        self.machines[machine].is_up = false;
        self.machines[machine].is_paused = false;
        for connection in self.connections.iter().filter(|other| other.machine == machine) {
            connection.ended.cancel();
        }
    }

    /// Replaces the data of the current machine, as a new process of the server has it.
    pub(super) fn restart(&mut self, data: Data) {
        let run_id = self.next_run_id();
        let snapshot = self.snapshot.clone();
        let machine = self.current();
        match data {
            Data::All => {}
            Data::None => machine.server = Server::default(),
            Data::Snapshot => machine.server = snapshot.unwrap_or_default(),
        }
        machine.server.run_id = run_id;
        machine.server.replacements = 0;
        machine.server.scripts.clear();
        machine.server.refusal = None;
        machine.is_up = true;
    }
}
