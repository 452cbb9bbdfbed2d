use crate::*;

/// The commands that scripts and connections of runs execute.
const COMMANDS: [&str; 13] = [
    "DEL",
    "EVALSHA",
    "HGET",
    "HMGET",
    "HSET",
    "PEXPIRE",
    "PUBLISH",
    "TIME",
    "XADD",
    "XLEN",
    "XRANGE",
    "XREVRANGE",
    "XTRIM",
];

/// The kinds of faults, for the choice of those of one simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Cut,
    HoldReads,
    DelayReads,
    OutOfMemory,
    Clock,
    Stall,
    ForgetScripts,
    ProcessClock,
    Forbid,
    Pause,
    Refuse,
    Restart,
    Promote,
    CutOff,
    Stop,
    Kill,
    Drain,
    Lose,
    RollBack,
    Swap,
    Flush,
    DeleteClaims,
    DeleteStreams,
    Expire,
    /// Only in a cluster, like the next one.
    Move,
    FailOver,
}

/// What the faults of a simulation may do to answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// Every answer is whole.
    Calm,
    /// Redis keeps what it has acknowledged, but a process may be out of reach for too long.
    Disturbing,
    /// Redis loses what it has acknowledged.
    Losing,
}

impl Kind {
    const CALM: [Self; 9] = [
        Self::Cut,
        Self::HoldReads,
        Self::DelayReads,
        Self::OutOfMemory,
        Self::Clock,
        Self::Stall,
        Self::ForgetScripts,
        Self::ProcessClock,
        Self::Forbid,
    ];
    const DISTURBING: [Self; 8] = [
        Self::Pause,
        Self::Refuse,
        Self::Restart,
        Self::Promote,
        Self::CutOff,
        Self::Stop,
        Self::Kill,
        Self::Drain,
    ];
    const LOSING: [Self; 7] = [
        Self::Lose,
        Self::RollBack,
        Self::Swap,
        Self::Flush,
        Self::DeleteClaims,
        Self::DeleteStreams,
        Self::Expire,
    ];

    /// Chooses the kinds of faults of one simulation: only a few, so that pairs meet more often.
    pub(crate) fn some(rng: &mut Rng, severity: Severity) -> Vec<Self> {
        let mut kinds = Self::CALM.to_vec();
        if severity >= Severity::Disturbing {
            kinds.extend(Self::DISTURBING);
        }
        rng.shuffle(&mut kinds);
        kinds.truncate(rng.usize(1..5));
        match severity {
            Severity::Calm => {}
            Severity::Disturbing => {
                kinds.push(Self::DISTURBING[rng.usize(..Self::DISTURBING.len())])
            }
            Severity::Losing => kinds.push(Self::LOSING[rng.usize(..Self::LOSING.len())]),
        }
        kinds
    }

    /// Returns whether owners can restore every claim that Redis loses by faults of these kinds.
    pub(crate) fn restore_claims(kinds: &[Self]) -> bool {
        let is_calm =
            |kind| Self::CALM.contains(kind) || [Self::Move, Self::FailOver].contains(kind);
        kinds.contains(&Self::Expire) || kinds.iter().all(is_calm)
    }

    /// Chooses a fault of this kind. Most faults of one process are those of `victim`.
    pub(crate) fn choose(
        self,
        rng: &mut Rng,
        processes: usize,
        victim: usize,
        lease: u64,
    ) -> Fault {
        let process = if rng.u8(..4) > 0 { victim } else { rng.usize(..processes) };
        let down = if rng.bool() { rng.u64(..20) } else { rng.u64(..6_000) };
        // Around the time after which a process counts as dead.
        let long = if rng.bool() { rng.u64(..lease) } else { rng.u64(lease..lease * 3) };
        match self {
            Self::Cut => {
                let cuts = [Cut::Now, Cut::BeforeCommand, Cut::AfterCommand];
                Fault::Cut { process, cut: cuts[rng.usize(..3)] }
            }
            Self::HoldReads => Fault::HoldReads { process, milliseconds: rng.u64(..1_000) },
            Self::DelayReads => {
                let (delay, milliseconds) = (rng.u64(20..400), rng.u64(1_000..10_000));
                Fault::DelayReads { process, delay, milliseconds }
            }
            Self::OutOfMemory => {
                Fault::Refuse { refusal: Refusal::OutOfMemory, milliseconds: rng.u64(..3_000) }
            }
            Self::Clock => {
                let steps = [-3_600_000, -30_000, -1_000, -20, 20, 2_000];
                Fault::Clock { step: steps[rng.usize(..steps.len())] }
            }
            Self::Stall => Fault::Pause { milliseconds: rng.u64(..500) },
            Self::ForgetScripts => Fault::ForgetScripts,
            Self::ProcessClock => {
                let steps = [-3_600_000, -30_000, -1_000, 1_000, 60_000, 3_600_000];
                Fault::ProcessClock { process, step: steps[rng.usize(..steps.len())] }
            }
            Self::Forbid => {
                let refusal = Refusal::NotPermitted(COMMANDS[rng.usize(..COMMANDS.len())]);
                Fault::Refuse { refusal, milliseconds: rng.u64(..2_500) }
            }
            Self::Pause => Fault::Pause { milliseconds: rng.u64(..6_000) },
            Self::Refuse => {
                let refusals = [Refusal::ReadOnly, Refusal::Loading, Refusal::NoReplicas];
                let refusal = refusals[rng.usize(..3)];
                Fault::Refuse { refusal, milliseconds: rng.u64(..6_000) }
            }
            Self::Restart => Fault::Restart { down },
            Self::Promote => Fault::Promote {
                clock_offset: if rng.bool() { 0 } else { rng.i64(-20_000..2_000) },
                lingers: if rng.bool() { 0 } else { rng.u64(..6_000) },
            },
            Self::CutOff => Fault::CutOff { process, milliseconds: long },
            Self::Stop => Fault::Stop { process, milliseconds: long },
            Self::Kill => Fault::Kill { process, down },
            Self::Drain => Fault::Drain { process, grace: rng.u64(..5_000), down },
            Self::Lose => Fault::Lose { down },
            Self::RollBack => Fault::RollBack { after: rng.u64(..3_000), down },
            Self::Swap => Fault::Swap { after: rng.u64(..3_000) },
            Self::Flush => Fault::Delete { claims: true, streams: true },
            Self::DeleteClaims => Fault::Delete { claims: true, streams: false },
            Self::DeleteStreams => Fault::Delete { claims: false, streams: true },
            // The time that keys are kept: a minute, or what is set.
            Self::Expire => Fault::Clock { step: if rng.bool() { 120_000 } else { 700_000 } },
            Self::Move => {
                let pause = if rng.bool() { rng.u64(..20) } else { rng.u64(..2_000) };
                Fault::Move { times: rng.u64(1..4), pause }
            }
            Self::FailOver => {
                let after = if rng.bool() { rng.u64(..100) } else { rng.u64(..3_000) };
                let late = if rng.bool() { 0 } else { rng.u64(..lease / 2) };
                Fault::FailOver { after, breaks_connections: rng.bool(), late }
            }
        }
    }
}
