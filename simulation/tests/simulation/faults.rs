use std::time::Duration;

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
        /// Whether the old one refuses events meanwhile, as `operating` demands.
        min_replicas: bool,
    },
    Delete,
    /// The key is renamed, and takes the place of the new one later.
    Rename {
        back_after: Option<u64>,
    },
    /// An operator copies the key, and puts the copy back later.
    Restore {
        after: u64,
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
    DelayReads {
        hub: usize,
        delay: u64,
        milliseconds: u64,
    },
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
            Self::Promote { lag, clock_offset, lingers, is_ambiguous, min_replicas } => {
                let old = network.promote(lag, clock_offset, is_ambiguous, min_replicas);
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
            Self::Restore { after: milliseconds } => {
                network.command(&["COPY", "tower-sse", "copy", "REPLACE"]);
                after(network, milliseconds, |network| {
                    network.command(&["COPY", "copy", "tower-sse", "REPLACE"]);
                });
            }
            Self::RollBack { after: milliseconds, down } => {
                network.take_snapshot();
                after(network, milliseconds, move |network| {
                    Self::Restart { data: Data::Snapshot, down, loads: 0 }.inject(network);
                });
            }
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
