//! Faults that the loom models inject, to prove that they find such faults.

/// A wrong order of steps.
#[cfg(tower_sse_loom)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Fault {
    None,
    CommitAfterUnlock,
    SleepOnUncommitted,
    SleepOnLoss,
}

#[cfg(tower_sse_loom)]
impl Fault {
    pub(crate) const NONE: Self = Self::None;

    pub(crate) fn commits_after_unlock(self) -> bool {
        self == Self::CommitAfterUnlock
    }

    pub(crate) fn sleeps_on_uncommitted(self) -> bool {
        self == Self::SleepOnUncommitted
    }

    pub(crate) fn sleeps_on_loss(self) -> bool {
        self == Self::SleepOnLoss
    }
}

#[cfg(tower_sse_loom)]
impl super::HubBuilder {
    /// Injects a fault.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }
}

#[cfg(tower_sse_loom)]
impl super::Hub {
    /// Reports a loss, as a broker's reader does.
    pub fn report_loss(&self, sequence: u64) {
        _ = self.shared().record_loss(sequence);
    }
}

/// No fault. Outside of the models, every check is a constant.
#[cfg(not(tower_sse_loom))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault;

#[cfg(not(tower_sse_loom))]
impl Fault {
    pub(crate) const NONE: Self = Self;

    pub(crate) const fn commits_after_unlock(self) -> bool {
        false
    }

    pub(crate) const fn sleeps_on_uncommitted(self) -> bool {
        false
    }

    pub(crate) const fn sleeps_on_loss(self) -> bool {
        false
    }
}
