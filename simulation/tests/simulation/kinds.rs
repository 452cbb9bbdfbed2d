use super::faults::Replaces;
use crate::*;

/// The kinds of faults, for the choice of those of one simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Restart,
    Lose,
    RollBack,
    Promote,
    Delete,
    Rename,
    Restore,
    OtherProgram,
    LargeEntry,
    Expire,
    Trim,
    Pause,
    Refuse,
    Clock,
    Cut,
    CutOff,
    HoldReads,
    HoldAllReads,
    DelayReads,
}

impl Kind {
    pub(crate) const ALL: [Self; 19] = [
        Self::Restart,
        Self::Lose,
        Self::RollBack,
        Self::Promote,
        Self::Delete,
        Self::Rename,
        Self::Restore,
        Self::OtherProgram,
        Self::LargeEntry,
        Self::Expire,
        Self::Trim,
        Self::Pause,
        Self::Refuse,
        Self::Clock,
        Self::Cut,
        Self::CutOff,
        Self::HoldReads,
        Self::HoldAllReads,
        Self::DelayReads,
    ];

    /// Chooses the kinds of faults of one simulation: only a few, so that pairs meet more often.
    pub(crate) fn some(rng: &mut Rng, may_lose: bool) -> Vec<Self> {
        let mut kinds: Vec<_> =
            Self::ALL.into_iter().filter(|kind| may_lose || !kind.loses()).collect();
        rng.shuffle(&mut kinds);
        kinds.truncate(rng.usize(1..5));
        if may_lose && rng.bool() {
            // A loss that a hub does not see at once is the hardest.
            kinds.push([Self::HoldReads, Self::HoldAllReads, Self::DelayReads][rng.usize(..3)]);
            let losses = [Self::RollBack, Self::Promote, Self::Rename, Self::Restore, Self::Trim];
            kinds.push(losses[rng.usize(..5)]);
        }
        kinds
    }

    /// Returns whether such a fault can remove entries that were acknowledged.
    pub(crate) const fn loses(self) -> bool {
        matches!(
            self,
            Self::Lose
                | Self::RollBack
                | Self::Promote
                | Self::Delete
                | Self::Rename
                | Self::Restore
                | Self::LargeEntry
                | Self::Expire
                | Self::Trim
        )
    }

    /// Returns whether a process that misses an entry by such a fault knows so when it reads the next
    /// one. A client whose id is too far ahead, because the clock was set, begins anew.
    pub(crate) fn is_seen_at_once(self) -> bool {
        match self {
            Self::Trim | Self::LargeEntry => true,
            Self::Clock => false,
            _ => !self.loses(),
        }
    }

    /// Chooses a fault of this kind. Most faults of one hub are those of `victim`.
    pub(crate) fn choose(self, rng: &mut Rng, hubs: usize, victim: usize) -> Fault {
        let hub = if rng.u8(..4) > 0 { victim } else { rng.usize(..hubs) };
        let down = if rng.bool() { rng.u64(..20) } else { rng.u64(..3_000) };
        let loads = if rng.u8(..4) == 0 { rng.u64(..2_000) } else { 0 };
        match self {
            Self::Restart => Fault::Restart { data: Data::All, down, loads },
            Self::Lose => Fault::Restart { data: Data::None, down, loads },
            Self::RollBack if rng.bool() => Fault::RollBack { after: rng.u64(..400), down },
            Self::RollBack if rng.u8(..3) == 0 => Fault::Snapshot,
            Self::RollBack => Fault::Restart { data: Data::Snapshot, down, loads },
            Self::Promote => Fault::Promote {
                promotion: Promotion {
                    lag: rng.usize(..6),
                    clock_offset: if rng.bool() { 0 } else { rng.i64(-5_000..1_000) },
                    is_ambiguous: rng.bool(),
                    old_refuses: rng.bool().then_some(Refusal::NoReplicas),
                },
                lingers: if rng.bool() { 0 } else { rng.u64(..6_000) },
                returns: rng.u8(..3) == 0,
            },
            Self::Delete => Fault::Delete,
            Self::Rename => {
                let back_after = rng.bool().then(|| rng.u64(..1_000));
                Fault::Rename { back_after }
            }
            Self::Restore => {
                let trimmed_after = rng.bool().then(|| rng.u64(..2_000));
                Fault::Restore { after: rng.u64(..400), trimmed_after }
            }
            Self::OtherProgram => {
                let replaces = [Replaces::Rename, Replaces::Copy, Replaces::Scripts];
                Fault::OtherProgram { replaces: replaces[rng.usize(..3)] }
            }
            Self::LargeEntry => Fault::LargeEntry { hub },
            Self::Expire => Fault::Expire { after: rng.u64(1..500) },
            Self::Trim => Fault::Trim { length: rng.usize(..10) },
            Self::Pause => Fault::Pause { milliseconds: rng.u64(..5_000) },
            Self::Refuse => {
                let refusals = [
                    Refusal::OutOfMemory,
                    Refusal::ReadOnly,
                    Refusal::Loading,
                    Refusal::NoReplicas,
                ];
                let refusal = refusals[rng.usize(..4)];
                Fault::Refuse { refusal, milliseconds: rng.u64(..3_000) }
            }
            Self::Clock => {
                let steps = [-3_600_000, -30_000, -1_000, -20, -1, 20, 2_000, 20_000];
                Fault::Clock { step: steps[rng.usize(..steps.len())] }
            }
            Self::Cut => {
                let cuts = [Cut::Now, Cut::BeforeCommand, Cut::AfterCommand];
                Fault::Cut { hub, cut: cuts[rng.usize(..3)] }
            }
            Self::CutOff => Fault::CutOff { hub, milliseconds: rng.u64(..6_000) },
            Self::HoldReads => Fault::HoldReads { hub, milliseconds: rng.u64(..3_000) },
            Self::HoldAllReads => Fault::HoldAllReads { hubs, milliseconds: rng.u64(500..3_500) },
            Self::DelayReads => {
                let (delay, milliseconds) = (rng.u64(20..400), rng.u64(1_000..10_000));
                Fault::DelayReads { hub, delay, milliseconds }
            }
        }
    }
}
