use crate::*;

/// What the server knows about itself at a moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// The resident memory in KiB.
    pub(crate) memory: u64,
    pub(crate) descriptors: u64,
    pub(crate) tasks: u64,

    pub(crate) open: u64,
    pub(crate) opened: u64,
    pub(crate) refused: u64,
    pub(crate) closed: BTreeMap<String, u64>,
    /// The calls of `on_open`, and those of `on_close` by reason.
    pub(crate) reported_opened: u64,
    pub(crate) reported_closed: BTreeMap<String, u64>,

    pub(crate) topics: u64,
    pub(crate) events: u64,
    pub(crate) subscribers: u64,
    pub(crate) gaps: u64,
    pub(crate) losses: u64,

    pub(crate) running: u64,
    pub(crate) kept: u64,
    pub(crate) attached: u64,
    pub(crate) started: u64,
    pub(crate) lagged: u64,
    pub(crate) ended: BTreeMap<String, u64>,
}

/// Returns the resident memory of this process in KiB.
pub(crate) fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// Returns the number of open descriptors of this process, except the one that counts them.
pub(crate) fn descriptors() -> u64 {
    fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1
}
