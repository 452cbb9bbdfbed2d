//! Operations that cause and end faults in the servers and in the network, and an operator's
//! commands.

use std::{fmt, iter};

use super::*;

/// How another server takes over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Promotion {
    /// The number of entries of each stream that the new server lacks.
    pub lag: usize,
    /// The milliseconds that the new server's clock is ahead of the old server's.
    pub clock_offset: i64,
    /// Whether the name also leads to the old server, until that is retired or takes over again.
    pub is_ambiguous: bool,
    /// The reason for which the old server refuses commands from now on.
    pub old_refuses: Option<Refusal>,
}

impl Network {
    pub fn after(&self, milliseconds: u64, end: impl FnOnce(&Self) + Send + 'static) {
        let network = self.clone();
        tokio::spawn(async move {
            sleep(Duration::from_millis(milliseconds)).await;
            end(&network);
        });
    }

    fn operate<R>(&self, what: fmt::Arguments<'_>, change: impl FnOnce(&mut State) -> R) -> R {
        self.log(|| format!("*** {what}"));
        self.change(change)
    }

    pub fn take_snapshot(&self) {
        self.operate(format_args!("snapshot"), |state| {
            state.snapshot = Some(state.current().server.clone());
        });
    }

    /// Kills the current server, which restarts after `down` milliseconds and loads its data for
    /// `loads` milliseconds.
    pub fn restart(&self, data: Data, down: u64, loads: u64) {
        self.operate(format_args!("dies, for {down} ms"), |state| state.kill(state.current));
        self.after(down, move |network| {
            network.operate(format_args!("restarts with {data:?} if it is down"), |state| {
                // The server may have been restarted or replaced meanwhile.
                if !state.current().is_up {
                    state.restart(data);
                    state.current().server.refusal = (loads > 0).then_some(Refusal::Loading);
                }
            });
            network.after(loads, |network| network.set_refusal(None));
        });
    }

    /// Lets a proxy lead the open connections to another server, which has the last snapshot.
    pub fn swap(&self) {
        self.operate(format_args!("swap"), |state| {
            if state.current().is_up {
                state.restart(Data::Snapshot);
            }
            for connection in &mut state.connections {
                connection.channels.clear();
            }
        });
    }

    /// Lets another server take over. Returns the old server's machine, which still serves its
    /// connections.
    pub fn promote(&self, promotion: Promotion) -> usize {
        let Promotion { lag, clock_offset, is_ambiguous, old_refuses } = promotion;
        self.operate(format_args!("{promotion:?}"), |state| {
            let mut replica = state.current().server.clone();
            replica.refusal = None;
            replica.forget_newest(lag);
            let offset = state.current().clock_offset + clock_offset;
            let old = state.current;
            if old_refuses.is_some() {
                state.current().server.refusal = old_refuses;
            }
            state.current = state.add_machine(replica, offset);
            let (earlier, id) =
                (state.machines[old].server.replication.clone(), state.next_run_id());
            state.current().server.replication.take_over(&earlier, id);
            state.alternative = is_ambiguous.then_some(old);
            old
        })
    }

    /// Lets a replaced server, which has become a replica of the current one, take over again. The
    /// current server dies. The replaced server's process stays the same. Does nothing if either
    /// server is down.
    pub fn take_back(&self, machine: usize) {
        self.operate(format_args!("machine {machine} takes over again"), |state| {
            let current = state.current;
            if machine == current || !(state.machines[machine].is_up && state.current().is_up) {
                return;
            }
            let Server { keys, replication, .. } = state.current().server.clone();
            let id = state.next_run_id();
            state.kill(current);
            let server = &mut state.machines[machine].server;
            server.replication.take_over(&replication, id);
            server.replication.count_changes();
            (server.keys, server.refusal) = (keys, None);
            server.changes += 1;
            (state.current, state.alternative) = (machine, None);
        });
    }

    pub fn retire(&self, machine: usize) {
        self.operate(format_args!("machine {machine} ends"), |state| {
            // The machine may have taken over again.
            if machine == state.current {
                return;
            }
            state.kill(machine);
            if state.alternative == Some(machine) {
                state.alternative = None;
            }
            state.rejoin(machine);
        });
    }

    /// Executes a command of an operator on the current server. Returns the text of the reply, or
    /// `None` if the server is down or the command has to wait.
    pub fn command(&self, command: &[&str]) -> Option<String> {
        let text: String = command.join(" ").chars().take(200).collect();
        let command: Vec<_> = command.iter().map(|part| part.as_bytes().to_vec()).collect();
        let outcome = self.operate(format_args!("{text}"), |state| {
            let now = self.now(state, state.current);
            let Machine { server, is_up: true, .. } = state.current() else { return None };
            Some(server.execute(now, &command))
        })?;
        match outcome {
            Outcome::Reply(reply) => Some(reply.text().trim_end().to_owned()),
            Outcome::Blocked { .. } => None,
        }
    }

    /// Lets an operator execute a command after the next `after` commands.
    pub fn appoint(&self, after: usize, command: &'static [&str]) {
        self.change(|state| state.appointment = Some((state.commands + after, command)));
    }

    pub(super) fn reach_command(&self) {
        let now = self.commands();
        let due = self.lock().appointment.take_if(|(at, _)| *at < now);
        due.inspect(|(_, command)| _ = self.command(command));
    }

    pub fn delete(&self, choose: impl Fn(&str) -> bool) {
        self.operate(format_args!("keys are deleted"), |state| {
            let keys = &mut state.current().server.keys;
            keys.retain(|name, _| !choose(&String::from_utf8_lossy(name)));
        });
    }

    /// Replaces the keys that `choose` selects by those of the last snapshot, and deletes all
    /// others.
    pub fn put_back(&self, choose: impl Fn(&str) -> bool) {
        self.change(|state| {
            let mut keys = state.snapshot.clone().expect("a snapshot").keys;
            keys.retain(|name, _| choose(&String::from_utf8_lossy(name)));
            state.current().server.keys = keys;
        });
    }

    /// Sends a process bytes that no command has asked for, over its connections that have
    /// subscriptions.
    pub fn send_unasked(&self, process: usize, bytes: &[u8]) {
        let state = self.lock();
        let is_its = |it: &&Connection| it.process == process && !it.channels.is_empty();
        for connection in state.connections.iter().filter(is_its) {
            let (due, bytes) = (Instant::now(), bytes.to_vec());
            _ = connection.sending.send(Sent { due, bytes, has_entries: false });
        }
    }

    /// Stops the current server for a time in milliseconds, without breaking its connections. The
    /// stop ends even if another server is the current one by then.
    pub fn pause(&self, milliseconds: u64) {
        let paused = self.operate(format_args!("pause of {milliseconds} ms"), |state| {
            state.current().is_paused = state.current().is_up;
            state.current
        });
        self.after(milliseconds, move |network| {
            network.change(|state| state.machines[paused].is_paused = false);
        });
    }

    pub fn refuse(&self, refusal: Refusal, milliseconds: u64) {
        self.log(|| format!("*** {refusal:?} for {milliseconds} ms"));
        self.set_refusal(Some(refusal));
        self.after(milliseconds, |network| network.set_refusal(None));
    }

    fn set_refusal(&self, refusal: Option<Refusal>) {
        self.change(|state| state.current().server.refusal = refusal);
    }

    pub fn set_clock(&self, step: i64) {
        let set = |state: &mut State| state.current().clock_offset += step;
        self.operate(format_args!("the clock is set by {step} ms"), set);
    }

    pub fn cut(&self, process: usize, cut: Cut) {
        self.operate(format_args!("a connection of process {process} breaks: {cut:?}"), |state| {
            let own = state.connections.iter_mut().filter(|it| it.process == process);
            let open: Vec<_> = own.filter(|it| !it.ended.is_cancelled()).collect();
            let Some(connection) = state.rng.choice(open) else { return };
            match cut {
                Cut::Now => connection.ended.cancel(),
                later => connection.cut_at = Some(later),
            }
        });
    }

    /// Breaks all connections of a process, and refuses new ones until `admit` is called.
    pub fn shut_out(&self, process: usize) {
        self.change(|state| {
            state.links[process].is_shut_out = true;
            let own = state.connections.iter().filter(|other| other.process == process);
            own.for_each(|connection| connection.ended.cancel());
        });
    }

    pub fn admit(&self, process: usize) {
        self.change(|state| state.links[process].is_shut_out = false);
    }

    /// Drops the packets of the connections that a process has now, like a firewall that forgets
    /// these connections. New ones work.
    pub fn drop_packets(&self, process: usize) {
        self.operate(format_args!("packets of process {process} are dropped"), |state| {
            let own = state.connections.iter_mut().filter(|it| it.process == process);
            own.for_each(|connection| connection.drops_packets = true);
        });
    }

    /// Lets nothing pass between a process and all servers for a time in milliseconds. No
    /// connection breaks.
    pub fn cut_off(&self, process: usize, milliseconds: u64) {
        self.change_link("cut off", process, milliseconds, |link, is_on| link.is_cut_off = is_on);
    }

    /// Holds what a process reads for a time in milliseconds: messages and replies with entries.
    pub fn hold_reads(&self, process: usize, milliseconds: u64) {
        self.change_link("held", process, milliseconds, |link, is_on| link.holds_reads = is_on);
    }

    /// Delays what a process reads by `delay`, for a time in milliseconds.
    pub fn delay_reads(&self, process: usize, delay: u64, milliseconds: u64) {
        let change = move |link: &mut Link, is_on| link.read_delay = if is_on { delay } else { 0 };
        self.change_link("delayed", process, milliseconds, change);
    }

    /// Limits the bytes that pass between a process and all servers in a second, in each direction.
    pub fn limit_bandwidth(&self, process: usize, bytes: u64) {
        self.change(|state| state.links[process].bandwidth = Some(bytes));
    }

    /// Lets the current server forget its scripts, as after `SCRIPT FLUSH`.
    pub fn forget_scripts(&self) {
        let forget = |state: &mut State| state.current().server.scripts.clear();
        self.operate(format_args!("the scripts are forgotten"), forget);
    }

    fn change_link(
        &self,
        what: &str,
        process: usize,
        milliseconds: u64,
        change: impl Fn(&mut Link, bool) + Send + 'static,
    ) {
        self.operate(format_args!("process {process} is {what} for {milliseconds} ms"), |state| {
            change(&mut state.links[process], true);
        });
        self.after(milliseconds, move |network| {
            network.change(|state| change(&mut state.links[process], false));
        });
    }

    /// Stops these keys from expiring, at the current server and in the snapshot.
    pub fn persist(&self, names: &[&str]) {
        self.change(|state| {
            for name in names {
                let current = &mut state.machines[state.current].server;
                let servers = iter::once(current).chain(&mut state.snapshot);
                let keys = servers.filter_map(|server| server.keys.get_mut(name.as_bytes()));
                keys.for_each(|key| key.expires_at = None);
            }
        });
    }

    /// Ends the faults that have begun. The current server keeps its data and its clock.
    pub fn heal(&self) {
        self.operate(format_args!("the faults end"), |state| {
            for machine in 0..state.machines.len() {
                if machine != state.current {
                    state.kill(machine);
                    state.rejoin(machine);
                }
            }
            state.alternative = None;
            if !state.current().is_up {
                state.restart(Data::All);
            }
            state.current().is_paused = false;
            state.current().server.refusal = None;
            state.links.iter_mut().for_each(|link| *link = Link::default());
            for connection in &mut state.connections {
                connection.cut_at = None;
                if connection.drops_packets {
                    connection.ended.cancel();
                }
            }
        });
    }
}
