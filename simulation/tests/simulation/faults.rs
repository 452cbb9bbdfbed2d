use crate::*;

/// A kind of fault of the servers, of the key or of the network.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) harm: Harm,
    /// Begins a fault. The number is that of the hub to hit, for a fault that hits only one hub.
    pub(crate) inject: fn(&mut Hubs, usize),
}

/// What a fault can do to a process that is behind, or to a client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    None,
    /// A client whose id is too far ahead, because the clock was set, begins anew.
    Ahead,
    /// Entries that were acknowledged can be removed. A process that misses an entry notices this
    /// when it reads the next entry.
    Trimmed,
    /// Entries that were acknowledged can be removed. A process that misses an entry may notice
    /// this only later.
    Lost,
}

impl Kind {
    const fn new(name: &'static str, harm: Harm, inject: fn(&mut Hubs, usize)) -> Self {
        Self { name, harm, inject }
    }

    /// Returns whether such a fault can remove entries that were acknowledged.
    pub(crate) fn loses(self) -> bool {
        matches!(self.harm, Harm::Trimmed | Harm::Lost)
    }

    pub(crate) fn some(rng: &mut Rng, may_lose: bool) -> Vec<Self> {
        let all = HARMLESS.into_iter().chain(HOLDS).chain(LOSSES);
        let mut kinds = choose_few(rng, all.filter(|kind| may_lose || !kind.loses()));
        if may_lose && rng.bool() {
            // A loss that a hub does not see at once is the hardest to report.
            kinds.push(HOLDS[rng.usize(..3)]);
            kinds.push(LOSSES[rng.usize(..5)]);
        }
        kinds
    }
}

/// Holds the reads of all hubs: acknowledgements arrive, and entries do not.
pub(crate) fn hold_all_reads(hubs: &mut Hubs) {
    let milliseconds = hubs.rng.u64(500..3_500);
    (0..hubs.world.processes.len()).for_each(|hub| hubs.network.hold_reads(hub, milliseconds));
}

const HOLDS: [Kind; 3] = [
    Kind::new("hold reads", Harm::None, |it, hub| it.network.hold_reads(hub, it.rng.u64(..3_000))),
    Kind::new("holds all reads", Harm::None, |it, _| hold_all_reads(it)),
    Kind::new("delays reads", Harm::None, |it, hub| {
        it.network.delay_reads(hub, it.rng.u64(20..400), it.rng.u64(1_000..10_000));
    }),
];

const HARMLESS: [Kind; 8] = [
    Kind::new("restart", Harm::None, |it, _| restart(it, Data::All)),
    // Another program renames or copies a key of its own, or flushes the server's scripts. After a
    // rename or copy, the counts of the server's commands no longer prove that the hubs' stream was
    // not replaced.
    Kind::new("other program", Harm::None, |it, _| {
        it.network.command(&["XADD", "cache", "*", "value", "1"]);
        it.network.command(match it.rng.u8(..3) {
            0 => &["RENAME", "cache", "old-cache"],
            1 => &["COPY", "cache", "old-cache", "REPLACE"],
            _ => &["SCRIPT", "FLUSH"],
        });
    }),
    Kind::new("pause", Harm::None, |it, _| it.network.pause(it.rng.u64(..5_000))),
    Kind::new("refuse", Harm::None, |it, _| {
        use Refusal::{Loading, NoReplicas, OutOfMemory, ReadOnly};
        let refusal = [OutOfMemory, ReadOnly, Loading, NoReplicas][it.rng.usize(..4)];
        it.network.refuse(refusal, it.rng.u64(..3_000));
    }),
    // Each step forward is less than the lead that hubs accept for an id. Several steps together
    // can exceed this lead.
    Kind::new("clock", Harm::Ahead, |it, _| {
        let steps = [-3_600_000, -30_000, -1_000, -20, -1, 20, 2_000, 20_000];
        it.network.set_clock(steps[it.rng.usize(..steps.len())]);
    }),
    Kind::new("cut", Harm::None, |it, hub| it.network.cut(hub, Cut::ALL[it.rng.usize(..3)])),
    // A firewall forgets the connections of a process.
    Kind::new("drop packets", Harm::None, |it, hub| it.network.drop_packets(hub)),
    Kind::new("cut off", Harm::None, |it, hub| it.network.cut_off(hub, it.rng.u64(..6_000))),
];

/// [`Kind::some`] adds one of the first five to a fault that holds reads, so that a hub may see the
/// loss late.
const LOSSES: [Kind; 9] = [
    Kind::new("roll back", Harm::Lost, |it, _| match it.rng.u8(..6) {
        0..3 => {
            // The server restarts with the state that it has now.
            let (after, down) = (it.rng.u64(..400), choose_time(&mut it.rng, &[20, 3_000]));
            it.network.take_snapshot();
            it.network.after(after, move |network| network.restart(Data::Snapshot, down, 0));
        }
        3 => it.network.take_snapshot(),
        _ => restart(it, Data::Snapshot),
    }),
    // Another server takes over, and may lack the newest entries. The old server goes on serving
    // its connections for a while, and new connections if the name leads to either server. Half of
    // the time, it refuses events, as with the option `min-replicas-to-write` that `running.md`
    // demands. Then the old server stops, or takes over again.
    Kind::new("promote", Harm::Lost, |it, _| {
        let rng = &mut it.rng;
        let old = it.network.promote(Promotion {
            lag: rng.usize(..6),
            clock_offset: if rng.bool() { 0 } else { rng.i64(-5_000..1_000) },
            is_ambiguous: rng.bool(),
            old_refuses: rng.bool().then_some(Refusal::NoReplicas),
        });
        let (lingers, returns) = (choose_time(rng, &[0, 6_000]), rng.u8(..3) == 0);
        it.network.after(lingers, move |network| {
            if returns { network.take_back(old) } else { network.retire(old) }
        });
    }),
    // The key is renamed, and may later replace the key that was created meanwhile.
    Kind::new("rename", Harm::Lost, |it, _| {
        it.network.command(&["RENAME", "tower-sse", "other"]);
        if it.rng.bool() {
            it.network.after(it.rng.u64(..1_000), |network| {
                network.command(&["RENAME", "other", "tower-sse"]);
            });
        }
    }),
    // An operator copies the key, and puts the copy back later. After that, all entries but the
    // newest may be trimmed.
    Kind::new("restore", Harm::Lost, |it, _| {
        let trimmed_after = it.rng.bool().then(|| it.rng.u64(..2_000));
        it.network.command(&["COPY", "tower-sse", "copy", "REPLACE"]);
        it.network.after(it.rng.u64(..400), move |network| {
            network.command(&["COPY", "copy", "tower-sse", "REPLACE"]);
            if let Some(after) = trimmed_after {
                network.after(after, |network| trim(network, 1));
            }
        });
    }),
    Kind::new("trim", Harm::Trimmed, |it, _| trim(&it.network, it.rng.usize(..10))),
    Kind::new("lose", Harm::Lost, |it, _| restart(it, Data::None)),
    Kind::new("delete", Harm::Lost, |it, _| _ = it.network.command(&["DEL", "tower-sse"])),
    // Another program adds an entry that is too large for a hub's link: the hub's time limit
    // passes before the entry has arrived.
    Kind::new("large entry", Harm::Trimmed, |it, hub| {
        if it.slow.is_none() {
            it.slow = Some(hub);
            limit(&it.network, hub);
            it.network.command(&["XADD", "tower-sse", "*", "blob", &"x".repeat(LARGE)]);
        }
    }),
    Kind::new("expire", Harm::Lost, |it, _| {
        let milliseconds = it.rng.u64(1..500).to_string();
        it.network.command(&["PEXPIRE", "tower-sse", &milliseconds]);
    }),
];

fn restart(hubs: &mut Hubs, data: Data) {
    let down = choose_time(&mut hubs.rng, &[20, 3_000]);
    let loads = if hubs.rng.u8(..4) == 0 { hubs.rng.u64(..2_000) } else { 0 };
    hubs.network.restart(data, down, loads);
}

fn trim(network: &Network, length: usize) {
    network.command(&["XTRIM", "tower-sse", "MAXLEN", "=", &length.to_string()]);
}

/// The size of a large entry, in bytes.
const LARGE: usize = 400_000;

/// Limits the link of a hub, so that a large entry takes longer than the hub's time limit of 3
/// seconds.
pub(crate) fn limit(network: &Network, hub: usize) {
    network.limit_bandwidth(hub, LARGE as u64 / 5);
}
