use crate::*;

/// The settings of the processes of one simulation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) lease: Duration,
    pub(crate) retain_for: Duration,
    pub(crate) retain_bytes: usize,
    pub(crate) max_memory: usize,
    /// Whether requests pass through the layers of the crate, and calls have options.
    pub(crate) is_layered: bool,
    /// The numbers of characters that are added to the owner and to the name of each key.
    pub(crate) padding: [usize; 2],
}

impl Settings {
    pub(crate) fn choose(rng: &mut Rng) -> Self {
        let retain_for = if rng.u8(..4) > 0 { 600_000 } else { [0, 300, 5_000][rng.usize(..3)] };
        let max_memory = if rng.u8(..6) > 0 { 2 << 30 } else { rng.usize(20_000..100_000) };
        Self {
            lease: Duration::from_secs([2, 4, 8][rng.usize(..3)]),
            retain_for: Duration::from_millis(retain_for),
            // If `max_memory` is small, so is this limit, so that several runs fit into the memory
            // of each process.
            retain_bytes: if max_memory < 2 << 30 { 4_000 } else { 2 << 20 },
            max_memory,
            is_layered: rng.bool(),
            ..Self::choose_for_crowd(rng)
        }
    }

    /// Chooses the settings for many or large runs, without narrow limits.
    pub(crate) fn choose_for_crowd(rng: &mut Rng) -> Self {
        Self {
            lease: Duration::from_secs([2, 4][rng.usize(..2)]),
            retain_for: Duration::from_secs(600),
            retain_bytes: 8 << 20,
            max_memory: 4 << 30,
            is_layered: false,
            padding: [0; 2],
        }
    }

    /// Returns the time between two checks of the runs of other processes, in milliseconds.
    pub(crate) fn check(&self) -> u64 {
        self.lease_milliseconds() / 4
    }

    pub(crate) fn lease_milliseconds(&self) -> u64 {
        u64::try_from(self.lease.as_millis()).unwrap()
    }

    /// Returns whether every run that has completed is kept until the end of the simulation.
    pub(crate) fn keep_all(&self) -> bool {
        self.retain_for >= Duration::from_secs(600) && self.max_memory >= 2 << 30
    }

    pub(crate) fn key(&self, number: usize) -> RunKey {
        let [owner, name] = self.padding.map(|length| "/".repeat(length));
        RunKey::new(format!("user{owner}"), format!("{number}{name}")).unwrap()
    }
}
