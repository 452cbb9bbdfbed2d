use std::time::Duration;

use fastrand::Rng;
use tokio::time::sleep;

use crate::redis::{Cut, Data, Network, Refusal};

/// A fault of the servers, of the key or of the network. Durations are in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Snapshot,
    Restart {
        data: Data,
        down: u64,
        loads: u64,
    },
    /// Another server takes over, without the newest entries. The old one goes on serving its
    /// connections for a while, and new ones if the name leads to either.
    Promote {
        lag: usize,
        clock_offset: i64,
        lingers: u64,
        is_ambiguous: bool,
    },
    Delete,
    /// The key is renamed, and takes the place of the new one later.
    Rename {
        back_after: Option<u64>,
    },
    /// An operator copies the key, or puts the copy back.
    Copy,
    Restore,
    Expire {
        after: u64,
    },
    Trim {
        length: usize,
    },
    Pause {
        milliseconds: u64,
    },
    Refuse {
        refusal: Refusal,
        milliseconds: u64,
    },
    /// The clock is set. A step forward is less than the lead of an id that hubs accept.
    Clock {
        step: i64,
    },
    Cut {
        hub: usize,
        cut: Cut,
    },
    CutOff {
        hub: usize,
        milliseconds: u64,
    },
    HoldReads {
        hub: usize,
        milliseconds: u64,
    },
    DelayReads {
        hub: usize,
        delay: u64,
        milliseconds: u64,
    },
}

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
    Expire,
    Trim,
    Pause,
    Refuse,
    Clock,
    Cut,
    CutOff,
    HoldReads,
    DelayReads,
}

impl Kind {
    pub(crate) const ALL: [Self; 16] = [
        Self::Restart,
        Self::Lose,
        Self::RollBack,
        Self::Promote,
        Self::Delete,
        Self::Rename,
        Self::Restore,
        Self::Expire,
        Self::Trim,
        Self::Pause,
        Self::Refuse,
        Self::Clock,
        Self::Cut,
        Self::CutOff,
        Self::HoldReads,
        Self::DelayReads,
    ];

    /// Chooses the kinds of faults of one simulation: only a few, so that pairs meet more often.
    pub(crate) fn some(rng: &mut Rng) -> Vec<Self> {
        let mut kinds = Self::ALL.to_vec();
        rng.shuffle(&mut kinds);
        kinds.truncate(rng.usize(1..5));
        if rng.bool() {
            // A loss that a hub does not see at once is the hardest.
            kinds.push([Self::HoldReads, Self::DelayReads][rng.usize(..2)]);
            let losses = [Self::RollBack, Self::Promote, Self::Rename, Self::Restore];
            kinds.push(losses[rng.usize(..4)]);
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
                | Self::Expire
                | Self::Trim
        )
    }

    /// Chooses a fault of this kind. Most faults of one hub are those of `victim`.
    pub(crate) fn choose(self, rng: &mut Rng, hubs: usize, victim: usize) -> Fault {
        let hub = if rng.u8(..4) > 0 { victim } else { rng.usize(..hubs) };
        let down = if rng.bool() { rng.u64(..20) } else { rng.u64(..3_000) };
        let loads = if rng.u8(..4) == 0 { rng.u64(..2_000) } else { 0 };
        match self {
            Self::Restart => Fault::Restart { data: Data::All, down, loads },
            Self::Lose => Fault::Restart { data: Data::None, down, loads },
            Self::RollBack if rng.u8(..3) == 0 => Fault::Snapshot,
            Self::RollBack => Fault::Restart { data: Data::Snapshot, down, loads },
            Self::Promote => Fault::Promote {
                lag: rng.usize(..6),
                clock_offset: if rng.bool() { 0 } else { rng.i64(-5_000..1_000) },
                lingers: if rng.bool() { 0 } else { rng.u64(..6_000) },
                is_ambiguous: rng.bool(),
            },
            Self::Delete => Fault::Delete,
            Self::Rename => {
                let back_after = rng.bool().then(|| rng.u64(..1_000));
                Fault::Rename { back_after }
            }
            Self::Restore if rng.u8(..3) == 0 => Fault::Copy,
            Self::Restore => Fault::Restore,
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
            Self::DelayReads => {
                let (delay, milliseconds) = (rng.u64(20..400), rng.u64(1_000..10_000));
                Fault::DelayReads { hub, delay, milliseconds }
            }
        }
    }
}

impl Fault {
    /// Begins the fault. A task ends it.
    pub(crate) fn inject(self, network: &Network) {
        network.log(|| format!("*** {self:?}"));
        match self {
            Self::Snapshot => network.take_snapshot(),
            Self::Restart { data, down, loads } => {
                network.kill();
                let again = network.clone();
                tokio::spawn(async move {
                    sleep(Duration::from_millis(down)).await;
                    again.restart(data, loads > 0);
                    sleep(Duration::from_millis(loads)).await;
                    again.refuse(None);
                });
            }
            Self::Promote { lag, clock_offset, lingers, is_ambiguous } => {
                let old = network.promote(lag, clock_offset, is_ambiguous);
                after(network, lingers, move |network| network.retire(old));
            }
            Self::Delete => network.command(&["DEL", "tower-sse"]),
            Self::Rename { back_after } => {
                network.command(&["RENAME", "tower-sse", "other"]);
                if let Some(back_after) = back_after {
                    after(network, back_after, |network| {
                        network.command(&["RENAME", "other", "tower-sse"]);
                    });
                }
            }
            Self::Copy => network.command(&["COPY", "tower-sse", "copy", "REPLACE"]),
            Self::Restore => network.command(&["COPY", "copy", "tower-sse", "REPLACE"]),
            Self::Expire { after } => {
                network.command(&["PEXPIRE", "tower-sse", &after.to_string()]);
            }
            Self::Trim { length } => {
                network.command(&["XTRIM", "tower-sse", "MAXLEN", "=", &length.to_string()]);
            }
            Self::Pause { milliseconds } => {
                network.pause(true);
                after(network, milliseconds, |network| network.pause(false));
            }
            Self::Refuse { refusal, milliseconds } => {
                network.refuse(Some(refusal));
                after(network, milliseconds, |network| network.refuse(None));
            }
            Self::Clock { step } => network.set_clock(step),
            Self::Cut { hub, cut } => network.cut(hub, cut),
            Self::CutOff { hub, milliseconds } => {
                network.cut_off(hub, true);
                after(network, milliseconds, move |network| network.cut_off(hub, false));
            }
            Self::HoldReads { hub, milliseconds } => {
                network.hold_reads(hub, true);
                after(network, milliseconds, move |network| network.hold_reads(hub, false));
            }
            Self::DelayReads { hub, delay, milliseconds } => {
                network.delay_reads(hub, delay);
                after(network, milliseconds, move |network| network.delay_reads(hub, 0));
            }
        }
    }
}

fn after(network: &Network, milliseconds: u64, end: impl FnOnce(&Network) + Send + 'static) {
    let network = network.clone();
    tokio::spawn(async move {
        sleep(Duration::from_millis(milliseconds)).await;
        end(&network);
    });
}
