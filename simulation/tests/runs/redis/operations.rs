//! What happens to the servers and to the network.

use super::{
    network::Network,
    state::{Cut, Data, Link, Refusal, State},
};

impl Network {
    pub(crate) fn take_snapshot(&self) {
        self.change(State::take_snapshot);
    }

    /// Kills the current server.
    pub(crate) fn kill(&self) {
        self.change(|state| state.kill(state.current));
    }

    pub(crate) fn restart(&self, data: Data, is_loading: bool) {
        self.change(|state| {
            // It may have been restarted already, or replaced.
            if !state.current().is_up {
                self.log(|| format!("*** restarts with {data:?}"));
                state.restart(data);
                state.current().refusal = is_loading.then_some(Refusal::Loading);
            }
        });
    }

    /// Lets a proxy lead the open connections to another server, which has the last snapshot.
    pub(crate) fn swap(&self) {
        self.change(|state| {
            if state.current().is_up {
                state.restart(Data::Snapshot);
            }
            for connection in &mut state.connections {
                connection.channels.clear();
            }
        });
    }

    /// Lets another server take over with the same data. Returns the old one, which still serves
    /// its connections.
    pub(crate) fn promote(&self, clock_offset: i64) -> usize {
        self.change(|state| {
            let replica = state.current().server.clone();
            let offset = state.current().clock_offset + clock_offset;
            let old = state.current;
            state.current().refusal = Some(Refusal::ReadOnly);
            state.current = state.add_machine(replica, offset);
            old
        })
    }

    /// Ends a server that was replaced.
    pub(crate) fn retire(&self, machine: usize) {
        self.change(|state| state.kill(machine));
    }

    /// Deletes all keys, or those that begin with a prefix and have this number of colons.
    pub(crate) fn delete(&self, choose: impl Fn(&str) -> bool) {
        self.change(|state| {
            let keys = &mut state.current().server.keys;
            keys.retain(|name, _| !choose(&String::from_utf8_lossy(name)));
        });
    }

    pub(crate) fn pause(&self, is_paused: bool) {
        self.change(|state| state.current().is_paused = is_paused && state.current().is_up);
    }

    pub(crate) fn refuse(&self, refusal: Option<Refusal>) {
        self.change(|state| state.current().refusal = refusal);
    }

    pub(crate) fn set_clock(&self, step: i64) {
        self.change(|state| state.current().clock_offset += step);
    }

    /// Breaks one of the connections of a process.
    pub(crate) fn cut(&self, process: usize, cut: Cut) {
        self.change(|state| {
            let open: Vec<_> = (0..state.connections.len())
                .filter(|number| {
                    let connection = &state.connections[*number];
                    connection.process == process && !connection.ended.is_cancelled()
                })
                .collect();
            let Some(number) = state.rng.choice(open) else { return };
            let connection = &mut state.connections[number];
            match cut {
                Cut::Now => connection.ended.cancel(),
                later => connection.cut_at = Some(later),
            }
        });
    }

    /// Cuts a process off from all servers: nothing passes, and no connection breaks.
    pub(crate) fn cut_off(&self, process: usize, is_cut_off: bool) {
        self.change(|state| state.links[process].is_cut_off = is_cut_off);
    }

    pub(crate) fn hold_reads(&self, process: usize, holds: bool) {
        self.change(|state| state.links[process].holds_reads = holds);
    }

    pub(crate) fn delay_reads(&self, process: usize, delay: u64) {
        self.change(|state| state.links[process].read_delay = delay);
    }

    /// Ends all faults, except that clocks stay as they are.
    pub(crate) fn heal(&self) {
        self.log(|| "*** the faults end".to_owned());
        self.change(|state| {
            for machine in 0..state.machines.len() {
                if machine != state.current {
                    state.kill(machine);
                }
            }
            if !state.current().is_up {
                state.restart(Data::All);
            }
            state.current().is_paused = false;
            state.current().refusal = None;
            state.links.iter_mut().for_each(|link| *link = Link::default());
            state.connections.iter_mut().for_each(|connection| connection.cut_at = None);
        });
    }
}
