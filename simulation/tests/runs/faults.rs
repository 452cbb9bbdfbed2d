use crate::*;

/// A fault of the servers, of the network or of a process. Durations are in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Cut {
        process: usize,
        cut: Cut,
    },
    HoldReads {
        process: usize,
        milliseconds: u64,
    },
    DelayReads {
        process: usize,
        delay: u64,
        milliseconds: u64,
    },
    /// Nothing passes between a process and the servers, and no connection breaks.
    CutOff {
        process: usize,
        milliseconds: u64,
    },
    Refuse {
        refusal: Refusal,
        milliseconds: u64,
    },
    Clock {
        step: i64,
    },
    /// The clock of a process' machine is set.
    ProcessClock {
        process: usize,
        step: i64,
    },
    ForgetScripts,
    Pause {
        milliseconds: u64,
    },
    /// The server restarts with all of its data.
    Restart {
        down: u64,
    },
    /// The server restarts without data.
    Lose {
        down: u64,
    },
    /// The server restarts with the data that it has now.
    RollBack {
        after: u64,
        down: u64,
    },
    /// A proxy leads the connections to another server, which has the data of now.
    Swap {
        after: u64,
    },
    /// A replica with all of the data takes over. The earlier server goes on for a while.
    Promote {
        clock_offset: i64,
        lingers: u64,
    },
    Delete {
        claims: bool,
        streams: bool,
    },
    /// The slot of a cluster moves to another node, a number of times.
    Move {
        times: u64,
        pause: u64,
    },
    /// A replica with the data of now takes over. The earlier node comes back without the slot. The
    /// process that made the newest call reaches the new one only after a while.
    FailOver {
        after: u64,
        breaks_connections: bool,
        late: u64,
    },
    /// A process is stopped and continued, as by signals.
    Stop {
        process: usize,
        milliseconds: u64,
    },
    Kill {
        process: usize,
        down: u64,
    },
    /// A process ends as a deploy ends it, and another takes its place.
    Drain {
        process: usize,
        grace: u64,
        down: u64,
    },
}

impl Fault {
    /// Begins the fault. A task ends it.
    pub(crate) fn inject(self, world: &World, rng: &mut Rng, settings: Settings) {
        let network = &world.network;
        network.log(|| format!("*** {self:?}"));
        match self {
            Self::Cut { process, cut } => network.cut(process, cut),
            Self::HoldReads { process, milliseconds } => network.hold_reads(process, milliseconds),
            Self::DelayReads { process, delay, milliseconds } => {
                network.delay_reads(process, delay, milliseconds);
            }
            Self::CutOff { process, milliseconds } => {
                world.disturb(process);
                network.cut_off(process, milliseconds);
            }
            Self::Refuse { refusal, milliseconds } => {
                if !matches!(refusal, Refusal::OutOfMemory | Refusal::NotPermitted(_)) {
                    world.disturb_all();
                }
                world.refuse(milliseconds, settings.check());
                network.refuse(refusal, milliseconds);
            }
            Self::Clock { step } => network.set_clock(step),
            Self::ProcessClock { process, step } => world.process(process).gate.set_clock(step),
            Self::ForgetScripts => network.forget_scripts(),
            Self::Pause { milliseconds } => {
                if milliseconds > 500 {
                    world.disturb_all();
                }
                network.pause(milliseconds);
            }
            Self::Restart { down } => restart(world, Data::All, down),
            Self::Lose { down } => restart(world, Data::None, down),
            Self::RollBack { after, down } => {
                network.take_snapshot();
                let world = world.clone();
                network.after(after, move |_| restart(&world, Data::Snapshot, down));
            }
            Self::Swap { after } => {
                network.take_snapshot();
                network.after(after, Network::swap);
            }
            Self::Promote { clock_offset, lingers } => {
                world.disturb_all();
                let old_refuses = Some(Refusal::ReadOnly);
                let promotion = Promotion { clock_offset, old_refuses, ..Promotion::default() };
                let old = network.promote(promotion);
                network.after(lingers, move |network| network.retire(old));
            }
            Self::Delete { claims, streams } => network.delete(|name| {
                let is_claim = name.ends_with('}');
                if is_claim { claims } else { streams }
            }),
            Self::Move { times, pause } => {
                (0..times).for_each(|time| network.after(time * pause, Network::move_slot));
            }
            Self::FailOver { after, breaks_connections, late } => {
                network.take_snapshot();
                let world = world.clone();
                network.after(after, move |network| {
                    network.fail_over(breaks_connections);
                    let newest = world.calls.list().last().map(|call| call.life);
                    let processes = &world.records().processes;
                    let is_owner = |process: &&Process| Some(process.life) == newest;
                    if let Some(owner) = processes.iter().find(is_owner) {
                        network.cut_off(owner.number, late);
                    }
                });
            }
            Self::Stop { process, milliseconds } => {
                world.disturb(process);
                let gate = world.process(process).gate;
                gate.stop();
                network.after(milliseconds, move |_| gate.go_on());
            }
            Self::Kill { process, down } => {
                world.disturb(process);
                world.process(process).kill();
                start_again(world, rng, settings, process, down);
            }
            Self::Drain { process, grace, down } => {
                world.disturb(process);
                drain(world, rng, settings, process, grace, down);
            }
        }
    }
}

fn restart(world: &World, data: Data, down: u64) {
    world.disturb_all();
    world.network.restart(data, down, 0);
}

/// Starts a process again after a while, on a machine whose clock differs.
fn start_again(world: &World, rng: &mut Rng, settings: Settings, process: usize, down: u64) {
    let clock = if rng.bool() { 0 } else { rng.i64(-5_000..5_000) };
    let again = world.clone();
    world.network.after(down, move |_| {
        // It may have been started again already.
        if again.process(process).gate.is_killed() {
            let started = Process::start(&again, process, settings, clock);
            again.records().processes[process] = started;
        }
    });
}

fn drain(world: &World, rng: &mut Rng, settings: Settings, number: usize, grace: u64, down: u64) {
    let process = world.process(number);
    let (world, mut rng) = (world.clone(), rng.fork());
    tokio::spawn(async move {
        let drained = process.clone();
        let draining = process.gate.run(async move {
            if let Some(runs) = drained.runs() {
                runs.drain(Duration::from_millis(grace)).await;
            }
        });
        if draining.await.is_some() {
            world.network.log(|| format!("process {number} is drained"));
            process.kill();
            start_again(&world, &mut rng, settings, number, down);
        }
    });
}
