use super::scheduler::PROCESSES;
use crate::*;

/// A kind of fault of the servers, of the network or of a process.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// Begins a fault. Most faults that hit one process hit the process with the given number.
    pub(crate) inject: fn(&mut Cluster, usize),
}

/// What the faults of a simulation may do to answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// The faults cut no answer short, unless Redis refuses commands for long.
    Calm,
    /// Redis keeps what it has acknowledged, but a process may be out of reach for too long.
    Disturbing,
    /// Redis may lose what it has acknowledged.
    Losing,
}

impl Kind {
    const fn new(name: &'static str, inject: fn(&mut Cluster, usize)) -> Self {
        Self { name, inject }
    }

    pub(crate) fn some(rng: &mut Rng, severity: Severity) -> Vec<Self> {
        let disturbing = DISTURBING.into_iter().filter(|_| severity >= Severity::Disturbing);
        let mut kinds = choose_few(rng, CALM.into_iter().chain(disturbing));
        match severity {
            Severity::Calm => {}
            Severity::Disturbing => kinds.push(DISTURBING[rng.usize(..DISTURBING.len())]),
            Severity::Losing => kinds.push(LOSING[rng.usize(..LOSING.len())]),
        }
        kinds
    }

    /// Returns whether owners can restore every claim that Redis loses by faults of these kinds.
    pub(crate) fn restore_claims(kinds: &[Self]) -> bool {
        let calm: Vec<_> = CALM.iter().chain(&[MOVE, FAIL_OVER]).map(|kind| kind.name).collect();
        let mut names = kinds.iter().map(|kind| kind.name);
        names.clone().any(|name| ["expire", "vanish"].contains(&name))
            || names.all(|name| calm.contains(&name))
    }

    /// Returns whether Redis keeps the lists of live runs if there are faults of these kinds.
    pub(crate) fn keep_lists(kinds: &[Self]) -> bool {
        let losing = LOSING.iter().chain(&[FAIL_OVER]).map(|kind| kind.name);
        let losing: Vec<_> = losing.filter(|name| !["expire", "vanish"].contains(name)).collect();
        kinds.iter().all(|kind| !losing.contains(&kind.name))
    }
}

/// Commands of the scripts and connections of runs. The fault `forbid` forbids one of them.
const COMMANDS: &str =
    "DEL EVALSHA EXISTS HGET HGETALL HMGET HSET PEXPIRE PUBLISH XADD XLEN XRANGE XREVRANGE XTRIM";

const CALM: [Kind; 10] = [
    REPLICA,
    Kind::new("cut", |it, process| it.network.cut(process, Cut::ALL[it.rng.usize(..3)])),
    Kind::new("hold reads", |it, process| it.network.hold_reads(process, it.rng.u64(..1_000))),
    Kind::new("delay reads", |it, process| {
        it.network.delay_reads(process, it.rng.u64(20..400), it.rng.u64(1_000..10_000));
    }),
    Kind::new("out of memory", |it, _| refuse(it, Refusal::OutOfMemory, 3_000)),
    Kind::new("clock", |it, _| {
        let steps = [-3_600_000, -30_000, -1_000, -20, 20, 2_000];
        it.network.set_clock(steps[it.rng.usize(..steps.len())]);
    }),
    Kind::new("stall", |it, _| it.network.pause(it.rng.u64(..500))),
    Kind::new("forget scripts", |it, _| it.network.forget_scripts()),
    Kind::new("process clock", |it, process| {
        let steps = [-3_600_000, -30_000, -1_000, 1_000, 60_000, 3_600_000];
        let step = steps[it.rng.usize(..steps.len())];
        it.network.log(|| format!("*** the clock of process {process} is set by {step}"));
        it.world.process(process).gate.set_clock(step);
    }),
    Kind::new("forbid", |it, _| {
        let commands = it.rng.choice(COMMANDS.split(' ').collect::<Vec<_>>());
        refuse(it, Refusal::NotPermitted(commands.unwrap()), 2_500);
    }),
];

const DISTURBING: [Kind; 9] = [
    Kind::new("pause", |it, _| {
        let milliseconds = it.rng.u64(..6_000);
        if milliseconds > 500 {
            it.world.disturb_all();
        }
        it.network.pause(milliseconds);
    }),
    Kind::new("refuse", |it, _| {
        it.world.disturb_all();
        let refusals = [Refusal::ReadOnly, Refusal::Loading, Refusal::NoReplicas];
        let refusal = refusals[it.rng.usize(..3)];
        refuse(it, refusal, 6_000);
    }),
    Kind::new("restart", |it, _| restart(it, Data::All)),
    // A replica with all of the data takes over. The earlier server goes on for a while.
    Kind::new("promote", |it, _| {
        it.world.disturb_all();
        let old_refuses = Some(Refusal::ReadOnly);
        let clock_offset = if it.rng.bool() { 0 } else { it.rng.i64(-20_000..2_000) };
        let promotion = Promotion { clock_offset, old_refuses, ..Promotion::default() };
        let old = it.network.promote(promotion);
        let lingers = choose_time(&mut it.rng, &[0, 6_000]);
        it.network.after(lingers, move |network| network.retire(old));
    }),
    // Nothing passes between a process and the servers, and no connection breaks.
    Kind::new("cut off", |it, process| {
        it.world.disturb(process);
        let milliseconds = about_a_lease(it);
        it.network.cut_off(process, milliseconds);
    }),
    // A firewall forgets the connections of a process.
    Kind::new("drop packets", |it, process| {
        it.world.disturb(process);
        it.network.drop_packets(process);
    }),
    // A process is stopped and continued, as by signals.
    Kind::new("stop", |it, process| {
        it.world.disturb(process);
        let milliseconds = about_a_lease(it);
        it.network.log(|| format!("*** process {process} stops for {milliseconds} ms"));
        let gate = it.world.process(process).gate;
        gate.set(Mode::Stopped);
        it.network.after(milliseconds, move |_| gate.set(Mode::Running));
    }),
    Kind::new("kill", |it, number| {
        let process = it.world.process(number);
        // A process that was killed or is starting is left alone.
        if process.get().is_some() {
            it.network.log(|| format!("*** process {number} is killed"));
            it.world.disturb(number);
            process.kill();
            start_again(&it.world, &mut it.rng, number);
        }
    }),
    // A process ends as a deploy ends it, and another takes its place.
    Kind::new("drain", |it, number| {
        let process = it.world.process(number);
        let Some(Program { runs, .. }) = process.get() else { return };
        let grace = it.rng.u64(..5_000);
        it.network.log(|| format!("*** process {number} drains for {grace} ms"));
        it.world.disturb(number);
        let (world, mut rng) = (it.world.clone(), it.rng.fork());
        tokio::spawn(async move {
            let grace = Duration::from_millis(grace);
            let draining = process.gate.run(async move { runs.drain(grace).await });
            if draining.await.is_some() {
                world.network.log(|| format!("process {number} is drained"));
                process.kill();
                start_again(&world, &mut rng, number);
            }
        });
    }),
];

const LOSING: [Kind; 8] = [
    // All processes die. Before the next ones start, the clock passes one of the times for which
    // keys are kept.
    Kind::new("vanish", |it, _| {
        it.world.disturb_all();
        for number in 0..PROCESSES {
            it.world.process(number).kill();
            start_again(&it.world, &mut it.rng, number);
        }
        it.network.set_clock(if it.rng.bool() { 120_000 } else { 700_000 });
    }),
    Kind::new("lose", |it, _| restart(it, Data::None)),
    // The server later restarts with the data that it has now.
    Kind::new("roll back", |it, _| {
        let down = choose_time(&mut it.rng, &[20, 6_000]);
        it.network.take_snapshot();
        let world = it.world.clone();
        it.network.after(it.rng.u64(..3_000), move |network| {
            world.disturb_all();
            network.restart(Data::Snapshot, down, 0);
        });
    }),
    // A proxy later leads the connections to another server, which has the data of this moment.
    Kind::new("swap", |it, _| {
        it.network.take_snapshot();
        it.network.after(it.rng.u64(..3_000), Network::swap);
    }),
    Kind::new("flush", |it, _| it.network.delete(|_| true)),
    Kind::new("delete claims", |it, _| it.network.delete(|name| name.ends_with('}'))),
    Kind::new("delete streams", |it, _| it.network.delete(|name| !name.ends_with('}'))),
    // The clock passes the time for which keys are kept: a minute, or what the settings say.
    Kind::new("expire", |it, _| {
        it.network.set_clock(if it.rng.bool() { 120_000 } else { 700_000 });
        // Clients ask before the owners notice that their claims have expired.
        (0..it.rng.usize(..4)).for_each(|_| it.add_client());
    }),
];

/// The first replica comes, or the last one has left long ago.
pub(crate) const REPLICA: Kind = Kind::new("replica", |it, _| it.network.change_replicas());

/// The slot moves to another node, up to three times. Only in a cluster, like [`FAIL_OVER`].
pub(crate) const MOVE: Kind = Kind::new("move", |it, _| {
    let pause = choose_time(&mut it.rng, &[20, 2_000]);
    (0..it.rng.u64(1..4)).for_each(|time| it.network.after(time * pause, Network::move_slot));
});

/// A replica later takes over with the data of this moment. The earlier node comes back without the
/// slot. The process that made the newest call may reach the new node only after a while.
pub(crate) const FAIL_OVER: Kind = Kind::new("fail over", |it, _| {
    let half_a_lease = it.world.settings.lease_milliseconds() / 2;
    let after = choose_time(&mut it.rng, &[100, 3_000]);
    let late = choose_time(&mut it.rng, &[0, half_a_lease]);
    let (world, breaks_connections) = (it.world.clone(), it.rng.bool());
    it.network.take_snapshot();
    it.network.after(after, move |network| {
        network.fail_over(breaks_connections);
        let newest = world.records().calls.last().map(|call| call.life);
        let processes = world.processes();
        let owner = processes.values().find(|process| Some(process.life) == newest);
        owner.inspect(|owner| network.cut_off(owner.number, late));
    });
    it.race_for_a_key(after);
});

fn refuse(it: &mut Cluster, refusal: Refusal, most: u64) {
    let milliseconds = it.rng.u64(..most);
    it.world.refuse(milliseconds);
    it.network.refuse(refusal, milliseconds);
}

fn restart(it: &mut Cluster, data: Data) {
    it.world.disturb_all();
    it.network.restart(data, choose_time(&mut it.rng, &[20, 6_000]), 0);
}

/// Starts a process again after a while, on a machine whose clock may differ.
fn start_again(world: &World, rng: &mut Rng, number: usize) {
    let down = choose_time(rng, &[20, 6_000]);
    let clock = if rng.bool() { 0 } else { rng.i64(-5_000..5_000) };
    let again = world.clone();
    world.network.after(down, move |_| again.start_again(number, clock));
}

/// Chooses a time around the one after which a process counts as dead.
fn about_a_lease(it: &mut Cluster) -> u64 {
    let lease = it.world.settings.lease_milliseconds();
    if it.rng.bool() { it.rng.u64(..lease) } else { it.rng.u64(lease..lease * 3) }
}
