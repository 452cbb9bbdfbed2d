use crate::*;

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
    /// connections for a while, and new ones if the name leads to either. It refuses events if it
    /// has `min-replicas-to-write`, as `operating` demands.
    Promote {
        promotion: Promotion,
        lingers: u64,
        /// Whether the old one takes over again, instead of being retired.
        returns: bool,
    },
    Delete,
    /// The key is renamed, and takes the place of the new one later.
    Rename {
        back_after: Option<u64>,
    },
    /// An operator copies the key, and puts the copy back later. Then all entries but the newest are
    /// trimmed.
    Restore {
        after: u64,
        trimmed_after: Option<u64>,
    },
    /// Another program changes keys of its own, or the scripts of the server. The counts of the
    /// server's commands then no longer prove what was trimmed.
    OtherProgram {
        replaces: Replaces,
    },
    /// Another program adds an entry that the link of a hub does not carry within its time limit.
    LargeEntry {
        hub: usize,
    },
    /// Redis restarts with the state that it has now.
    RollBack {
        after: u64,
        down: u64,
    },
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
    /// Acknowledgements arrive, and entries do not.
    HoldAllReads {
        hubs: usize,
        milliseconds: u64,
    },
    DelayReads {
        hub: usize,
        delay: u64,
        milliseconds: u64,
    },
}

/// What another program replaces.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Replaces {
    Rename,
    Copy,
    Scripts,
}

/// The size of a large entry, in bytes.
const LARGE: usize = 400_000;

impl Fault {
    /// Limits the link of a hub, so that a large entry takes longer than its time limit of 3 seconds.
    pub(crate) fn limit(network: &Network, hub: usize) {
        network.limit_bandwidth(hub, LARGE as u64 / 5);
    }

    /// Begins the fault. A task ends it.
    pub(crate) fn inject(self, network: &Network) {
        network.log(|| format!("*** {self:?}"));
        match self {
            Self::Snapshot => network.take_snapshot(),
            Self::Restart { data, down, loads } => network.restart(data, down, loads),
            Self::Promote { promotion, lingers, returns } => {
                let old = network.promote(promotion);
                network.after(lingers, move |network| {
                    if returns { network.take_back(old) } else { network.retire(old) }
                });
            }
            Self::Delete => _ = network.command(&["DEL", "tower-sse"]),
            Self::Rename { back_after } => {
                network.command(&["RENAME", "tower-sse", "other"]);
                if let Some(back_after) = back_after {
                    network.after(back_after, |network| {
                        network.command(&["RENAME", "other", "tower-sse"]);
                    });
                }
            }
            Self::Restore { after, trimmed_after } => {
                network.command(&["COPY", "tower-sse", "copy", "REPLACE"]);
                network.after(after, move |network| {
                    network.command(&["COPY", "copy", "tower-sse", "REPLACE"]);
                    if let Some(after) = trimmed_after {
                        network.after(after, |network| Self::Trim { length: 1 }.inject(network));
                    }
                });
            }
            Self::OtherProgram { replaces } => {
                network.command(&["XADD", "cache", "*", "value", "1"]);
                network.command(match replaces {
                    Replaces::Rename => &["RENAME", "cache", "old-cache"],
                    Replaces::Copy => &["COPY", "cache", "old-cache", "REPLACE"],
                    Replaces::Scripts => &["SCRIPT", "FLUSH"],
                });
            }
            Self::LargeEntry { hub } => {
                Self::limit(network, hub);
                let entry = "x".repeat(LARGE);
                network.command(&["XADD", "tower-sse", "*", "blob", &entry]);
            }
            Self::RollBack { after, down } => {
                network.take_snapshot();
                network.after(after, move |network| {
                    Self::Restart { data: Data::Snapshot, down, loads: 0 }.inject(network);
                });
            }
            Self::Expire { after } => {
                network.command(&["PEXPIRE", "tower-sse", &after.to_string()]);
            }
            Self::Trim { length } => {
                network.command(&["XTRIM", "tower-sse", "MAXLEN", "=", &length.to_string()]);
            }
            Self::Pause { milliseconds } => network.pause(milliseconds),
            Self::Refuse { refusal, milliseconds } => network.refuse(refusal, milliseconds),
            Self::Clock { step } => network.set_clock(step),
            Self::Cut { hub, cut } => network.cut(hub, cut),
            Self::CutOff { hub, milliseconds } => network.cut_off(hub, milliseconds),
            Self::HoldReads { hub, milliseconds } => network.hold_reads(hub, milliseconds),
            Self::HoldAllReads { hubs, milliseconds } => {
                (0..hubs).for_each(|hub| network.hold_reads(hub, milliseconds));
            }
            Self::DelayReads { hub, delay, milliseconds } => {
                network.delay_reads(hub, delay, milliseconds);
            }
        }
    }
}
