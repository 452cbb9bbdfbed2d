//! A cluster whose keys are all in one slot. The current server is the node that has this slot.

use super::*;

/// The commands that any node of a cluster executes.
const WITHOUT_KEYS: [&str; 9] =
    ["CLIENT", "HELLO", "INFO", "PING", "PUBLISH", "SCRIPT", "SUBSCRIBE", "TIME", "UNSUBSCRIBE"];

/// Redirects of one connection within this time count as one: the process may not have received the
/// first of them yet.
const REDIRECTED_FOR: Duration = Duration::from_millis(100);
/// How long the slot stays at its node after a failover, because real nodes accept a move only
/// after they have agreed on the failover. This is longer than the time between two checks of a
/// process.
const AFTER_FAILOVER: Duration = Duration::from_secs(3);
/// A process with more redirects over one connection counts as one that doesn't follow them. It can
/// miss a few redirects, because it drops a request whose client disconnects.
const MAX_REDIRECTS: usize = 4;

/// Parses `process-0` or `process-0-node-1`. Returns the numbers of the process and of the node.
pub(super) fn parse(host: &str) -> (usize, Option<usize>) {
    let host = host.strip_prefix("process-").unwrap();
    match host.split_once("-node-") {
        Some((process, node)) => (process.parse().unwrap(), Some(node.parse().unwrap())),
        None => (host.parse().unwrap(), None),
    }
}

impl Network {
    /// Turns the server into a node of a cluster and adds `others` nodes without the slot. The
    /// clock of each added node is up to half a second ahead or behind.
    pub fn form_cluster(&self, others: usize) {
        self.change(|state| {
            state.current().server.is_cluster = true;
            for _ in 0..others {
                let clock_offset = state.rng.i64(-500..500);
                state.add_machine(Server::node(), clock_offset);
            }
        });
    }

    pub fn is_cluster(&self) -> bool {
        self.lock().current().server.is_cluster
    }

    /// Returns a process, if any, that a node has redirected more than [`MAX_REDIRECTS`] times over
    /// one connection.
    pub fn stays_redirected(&self) -> Option<usize> {
        self.lock().stays_redirected
    }

    /// Moves the slot to another node, with all keys. Does nothing if the current node is down or
    /// paused, if the last failover was within [`AFTER_FAILOVER`], or if no other node runs.
    pub fn move_slot(&self) {
        let to = self.change(|state| {
            let from = state.current;
            let Machine { is_up: true, is_paused: false, .. } = state.machines[from] else {
                return None;
            };
            if state.failed_over_at.is_some_and(|at| at.elapsed() < AFTER_FAILOVER) {
                return None;
            }
            let to = state.choose_node()?;
            let [behind, ahead] = [from, to].map(|node| state.machines[node].clock_offset);
            let server = &mut state.machines[from].server;
            server.refusal = None;
            let mut keys = std::mem::take(&mut server.keys);
            // The nodes send each other the remaining time to live.
            for at in keys.values_mut().filter_map(|key| key.expires_at.as_mut()) {
                *at = at.saturating_add_signed(ahead - behind);
            }
            state.give_slot(to, keys);
            Some(to)
        });
        self.log(|| format!("*** the slot moves to {to:?}"));
    }

    /// Lets another node take over with the last snapshot, like a lagging replica. Does nothing if
    /// there is no snapshot, or if no other node runs. With `breaks_connections`, the old node dies
    /// first. If it is dead, it comes back without the slot.
    pub fn fail_over(&self, breaks_connections: bool) {
        let to = self.change(|state| {
            let from = state.current;
            let snapshot = state.snapshot.clone()?;
            let to = state.choose_node()?;
            if breaks_connections || !state.machines[from].is_up {
                state.kill(from);
                state.rejoin(from);
            }
            // The old node becomes a replica and later a primary again, so it begins another
            // history too.
            let earlier = state.machines[from].server.replication.clone();
            for node in [from, to] {
                let id = state.next_run_id();
                state.machines[node].server.replication.take_over(&earlier, id);
            }
            let server = &mut state.machines[from].server;
            (server.keys, server.refusal) = (BTreeMap::new(), None);
            state.give_slot(to, snapshot.keys);
            state.failed_over_at = Some(Instant::now());
            Some(to)
        });
        self.log(|| format!("*** the replica {to:?} takes over"));
    }
}

impl State {
    /// Returns a running node that does not have the slot.
    fn choose_node(&mut self) -> Option<usize> {
        let is_other = |node: &usize| *node != self.current && self.machines[*node].is_up;
        let others: Vec<_> = (0..self.machines.len()).filter(is_other).collect();
        self.rng.choice(others)
    }

    fn give_slot(&mut self, node: usize, keys: BTreeMap<Vec<u8>, server::Key>) {
        // One time in four, the subscriptions stay, as behind a proxy that does not pass on their
        // end.
        if self.rng.u8(..4) > 0 {
            pubsub::end_sharded(self, self.current);
        }
        let server = &mut self.machines[node].server;
        (server.keys, server.refusal) = (keys, None);
        server.changes += 1;
        self.current = node;
    }

    /// If a command has keys and its node doesn't have the slot, returns the node's reply, which
    /// names the node that has it.
    pub(super) fn redirect(&self, connection: usize, command: &Command) -> Option<Reply> {
        let Connection { process, machine, .. } = self.connections[connection];
        let has_keys = !WITHOUT_KEYS.iter().any(|name| name.as_bytes() == command[0]);
        let is_cluster = self.machines[machine].server.is_cluster;
        (is_cluster && machine != self.current && has_keys)
            .then(|| Reply::Error(format!("MOVED 7 process-{process}-node-{}:6379", self.current)))
    }

    /// Counts a redirect of a connection. Call this only for commands that read no entries: a
    /// link's `read_delay` holds back the replies to those that do, so the process learns of a
    /// redirect later.
    pub(super) fn count_redirect(&mut self, connection: usize) {
        let Connection { process, redirects, .. } = &mut self.connections[connection];
        if redirects.last().is_none_or(|last| last.elapsed() > REDIRECTED_FOR) {
            redirects.push(Instant::now());
        }
        if redirects.len() > MAX_REDIRECTS {
            self.stays_redirected = Some(*process);
        }
    }

    /// Lets a node that has died come back without the slot. Does nothing outside of a cluster.
    pub(super) fn rejoin(&mut self, machine: usize) {
        if self.machines[machine].server.is_cluster {
            let run_id = self.next_run_id();
            let machine = &mut self.machines[machine];
            let replication = Replication::new(run_id.clone());
            machine.server = Server { run_id, replication, ..Server::node() };
            machine.is_up = true;
        }
    }
}
