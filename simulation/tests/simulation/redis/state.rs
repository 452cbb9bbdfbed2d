use tokio_util::sync::CancellationToken;

use super::{
    KEY,
    id::Id,
    resp::{Command, Reply},
    server::{Outcome, Server},
    stream::{Fields, Stream},
};

/// The state of the servers and of the network.
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
    /// What an operator does when this number of commands has arrived.
    pub(super) appointment: Option<(usize, Vec<String>)>,
}

/// An entry that was added while another copy of the stream had its id or a higher one, which is
/// then ahead of the server's clock.
#[derive(Clone, Debug)]
pub(crate) struct Overtaken {
    pub(crate) fields: Fields,
    /// The milliseconds since the beginning.
    pub(crate) at: u64,
}

/// A machine with one server.
pub(super) struct Machine {
    pub(super) server: Server,
    pub(super) is_up: bool,
    pub(super) is_paused: bool,
    /// The milliseconds that its clock is ahead.
    pub(super) clock_offset: i64,
}

/// The data that a server has when it restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    All,
    None,
    Snapshot,
}

/// The link of one hub to the servers.
#[derive(Default)]
pub(super) struct Link {
    pub(super) is_cut_off: bool,
    /// Whether replies with entries are held.
    pub(super) holds_reads: bool,
    /// The latency of replies with entries, in milliseconds.
    pub(super) read_delay: u64,
}

pub(super) struct Connection {
    pub(super) hub: usize,
    pub(super) machine: usize,
    pub(super) ended: CancellationToken,
    pub(super) cut_at: Option<Cut>,
}

/// The moment at which a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
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

    /// Records the entry that a command has added to the stream of a machine, if it is overtaken.
    pub(super) fn record_overtaken(
        &mut self,
        machine: usize,
        at: u64,
        command: &Command,
        outcome: &Outcome,
    ) {
        let Outcome::Reply(Reply::Bulk(id)) = outcome else { return };
        if command[0] != b"XADD" {
            return;
        }
        let id = Id::parse(id, 0).unwrap();
        if self.copies(machine).any(|copy| copy.last() >= id) {
            let stream = &self.machines[machine].server.keys[KEY].stream;
            let (_, fields) = stream.entries().next_back().unwrap();
            self.overtaken.push(Overtaken { fields: Fields::clone(fields), at });
        }
    }

    /// Returns all streams but that of this machine: those of other machines, those under other
    /// keys, and those of the snapshot.
    fn copies(&self, machine: usize) -> impl Iterator<Item = &Stream> {
        let machines = self.machines.iter().enumerate();
        let serving = machines.filter(|(number, it)| it.is_up || *number == self.current);
        let served = serving.flat_map(move |(number, it)| {
            let others = move |key: &[u8]| number != machine || key != KEY;
            it.server.keys.iter().filter(move |(key, _)| others(key)).map(|(_, key)| &key.stream)
        });
        let kept = self.snapshot.iter().flat_map(|server| server.keys.values());
        served.chain(kept.map(|key| &key.stream))
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

    /// Starts the current machine again.
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
        machine.server.refusal = None;
        machine.is_up = true;
    }
}
