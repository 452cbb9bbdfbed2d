use slab::Slab;
use tokio::time::Instant;

/// The positions of the clients that are attached to a run.
#[derive(Debug)]
pub(crate) struct Readers {
    /// The sequence number up to which each client has read.
    positions: Slab<u64>,
    unattended_since: Instant,
}

impl Readers {
    pub(crate) fn new(now: Instant) -> Self {
        Self { positions: Slab::default(), unattended_since: now }
    }

    /// Returns the number of attached clients.
    pub(crate) fn count(&self) -> usize {
        self.positions.len()
    }

    /// Returns the time since which no client has been attached, or `None` if one is attached.
    pub(crate) fn unattended_since(&self) -> Option<Instant> {
        (self.count() == 0).then_some(self.unattended_since)
    }

    /// Treats the run as attended until `time`, because a client watches it at another process.
    pub(crate) fn attend_until(&mut self, time: Instant) {
        self.unattended_since = self.unattended_since.max(time);
    }

    /// Returns whether a client is attached here, or counts as attached at another process at
    /// `now`.
    pub(crate) fn is_attended(&self, now: Instant) -> bool {
        self.count() > 0 || self.unattended_since > now
    }

    /// Returns the position of the slowest client, or `None` if no client is attached.
    pub(crate) fn slowest(&self) -> Option<u64> {
        self.positions.iter().map(|(_, position)| *position).min()
    }

    /// Adds a client and returns its index.
    pub(crate) fn add(&mut self, position: u64) -> usize {
        self.positions.insert(position)
    }

    pub(crate) fn remove(&mut self, index: usize) {
        self.positions.try_remove(index);
        if self.count() == 0 {
            self.positions = Slab::default();
            self.unattended_since = self.unattended_since.max(Instant::now());
        }
    }

    pub(crate) fn get(&self, index: usize) -> u64 {
        self.positions.get(index).copied().unwrap_or(u64::MAX)
    }

    pub(crate) fn set(&mut self, index: usize, position: u64) {
        if let Some(read) = self.positions.get_mut(index) {
            *read = position;
        }
    }

    /// Returns the position of the fastest client, or `None` if no client is attached.
    pub(crate) fn fastest(&self) -> Option<u64> {
        self.positions.iter().map(|(_, position)| *position).max()
    }
}
