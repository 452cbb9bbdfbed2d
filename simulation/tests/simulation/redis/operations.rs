//! What happens to the servers and to the network.

use super::{
    network::Network,
    refusal::Refusal,
    state::{Cut, Data, Link, State},
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
                state.current().server.refusal = is_loading.then_some(Refusal::Loading);
            }
        });
    }

    /// Lets another server take over, without the newest `lag` entries. Returns the old one, which
    /// refuses events if it has `min-replicas-to-write`.
    pub(crate) fn promote(
        &self,
        lag: usize,
        clock_offset: i64,
        is_ambiguous: bool,
        min_replicas: bool,
    ) -> usize {
        self.change(|state| {
            let mut replica = state.current().server.clone();
            replica.refusal = None;
            for key in replica.keys.values_mut() {
                key.stream.forget_newest(lag);
            }
            let offset = state.current().clock_offset + clock_offset;
            let old = state.current;
            if min_replicas {
                state.current().server.refusal = Some(Refusal::NoReplicas);
            }
            state.current = state.add_machine(replica, offset);
            state.alternative = is_ambiguous.then_some(old);
            old
        })
    }

    /// Ends a server that was replaced.
    pub(crate) fn retire(&self, machine: usize) {
        self.change(|state| {
            state.kill(machine);
            if state.alternative == Some(machine) {
                state.alternative = None;
            }
        });
    }

    /// Executes a command of an operator on the current server.
    pub(crate) fn command(&self, command: &[&str]) {
        let command: Vec<_> = command.iter().map(|part| part.as_bytes().to_vec()).collect();
        self.change(|state| {
            let now = self.now(state, state.current);
            if state.current().is_up {
                _ = state.current().server.execute(now, &command);
            }
        });
    }

    /// Lets an operator execute a command before the one that follows `after` others.
    pub(crate) fn appoint(&self, after: usize, command: &[&str]) {
        let command = command.iter().map(|&part| part.to_owned()).collect();
        self.change(|state| state.appointment = Some((state.commands + after, command)));
    }

    /// Executes the operator's command if it is time for it.
    pub(super) fn reach_command(&self) {
        let is_due =
            |state: &State| matches!(state.appointment, Some((at, _)) if at < state.commands);
        let due = self.change(|state| if is_due(state) { state.appointment.take() } else { None });
        if let Some((_, command)) = due {
            self.log(|| format!("*** {}", command.join(" ")));
            let command: Vec<_> = command.iter().map(String::as_str).collect();
            self.command(&command);
        }
    }

    pub(crate) fn pause(&self, is_paused: bool) {
        self.change(|state| state.current().is_paused = is_paused && state.current().is_up);
    }

    pub(crate) fn refuse(&self, refusal: Option<Refusal>) {
        self.change(|state| state.current().server.refusal = refusal);
    }

    pub(crate) fn set_clock(&self, step: i64) {
        self.change(|state| state.current().clock_offset += step);
    }

    /// Breaks one of the connections of a hub.
    pub(crate) fn cut(&self, hub: usize, cut: Cut) {
        self.change(|state| {
            let open: Vec<_> = (0..state.connections.len())
                .filter(|number| {
                    let connection = &state.connections[*number];
                    connection.hub == hub && !connection.ended.is_cancelled()
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

    /// Cuts a hub off from all servers: nothing passes, and no connection breaks.
    pub(crate) fn cut_off(&self, hub: usize, is_cut_off: bool) {
        self.change(|state| state.links[hub].is_cut_off = is_cut_off);
    }

    pub(crate) fn hold_reads(&self, hub: usize, holds: bool) {
        self.change(|state| state.links[hub].holds_reads = holds);
    }

    pub(crate) fn delay_reads(&self, hub: usize, delay: u64) {
        self.change(|state| state.links[hub].read_delay = delay);
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
            state.alternative = None;
            if !state.current().is_up {
                state.restart(Data::All);
            }
            state.current().is_paused = false;
            state.current().server.refusal = None;
            state.links.iter_mut().for_each(|link| *link = Link::default());
            state.connections.iter_mut().for_each(|connection| connection.cut_at = None);
        });
    }
}
