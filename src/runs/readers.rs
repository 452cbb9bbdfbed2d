use tokio::time::Instant;

/// The positions of the clients that are attached to a run.
#[derive(Debug)]
pub(super) struct Readers {
    /// The sequence number up to which each client has read; `None` for a vacant index.
    positions: Vec<Option<u64>>,
    vacant: Vec<u32>,
    unattended_since: Instant,
}

impl Readers {
    pub(super) const fn new(now: Instant) -> Self {
        Self { positions: Vec::new(), vacant: Vec::new(), unattended_since: now }
    }

    /// Returns the number of attached clients.
    pub(super) const fn count(&self) -> usize {
        self.positions.len() - self.vacant.len()
    }

    /// Returns the time since which no client has been attached, or `None` if one is attached.
    pub(super) fn unattended_since(&self) -> Option<Instant> {
        (self.count() == 0).then_some(self.unattended_since)
    }

    /// Adds a client and returns its index.
    pub(super) fn add(&mut self, position: u64) -> u32 {
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.positions.push(None);
            // 2^32 clients cannot be connected to one process.
            u32::try_from(self.positions.len() - 1).unwrap_or(u32::MAX)
        });
        self.set(index, position);
        index
    }

    pub(super) fn remove(&mut self, index: u32) {
        if let Some(position) = self.positions.get_mut(index as usize)
            && position.take().is_some()
        {
            self.vacant.push(index);
        }
        if self.count() == 0 {
            self.positions = Vec::new();
            self.vacant = Vec::new();
            self.unattended_since = Instant::now();
        }
    }

    pub(super) fn get(&self, index: u32) -> u64 {
        self.positions.get(index as usize).copied().flatten().unwrap_or(u64::MAX)
    }

    pub(super) fn set(&mut self, index: u32, position: u64) {
        if let Some(slot) = self.positions.get_mut(index as usize) {
            *slot = Some(position);
        }
    }

    /// Returns the position of the fastest client, or `None` if no client is attached.
    pub(super) fn fastest(&self) -> Option<u64> {
        self.positions.iter().flatten().copied().max()
    }
}
