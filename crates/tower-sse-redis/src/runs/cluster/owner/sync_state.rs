/// Whether the store's copy of a run is as its owner knows it, or needs a `Sync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyncState {
    InStep,
    /// The next plan has a `Sync`, or the last plan had one. The reply to that `Sync` settles the
    /// state.
    Due(OnLoss),
    /// A `Sync` was requested since the last plan, so the next plan has one. A reply to an earlier
    /// `Sync` is out of date.
    Asked(OnLoss),
}

/// What a `Sync` does to a run whose keys the store has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnLoss {
    /// The `Sync` reports the loss.
    Compares,
    /// The `Sync` creates the keys again.
    Restores,
}

impl SyncState {
    /// Requests a `Sync` for another reason than a reply to the last plan.
    pub(super) const fn ask(&mut self) {
        *self = Self::Asked(self.pending());
    }

    /// Makes a `Sync` due, because of a reply.
    pub(super) const fn need(&mut self) {
        if let Self::InStep = *self {
            *self = Self::Due(OnLoss::Compares);
        }
    }

    /// Makes a `Sync` due that restores the run, because of a reply.
    pub(super) const fn need_to_restore(&mut self) {
        *self = match self {
            Self::Asked(_) => Self::Asked(OnLoss::Restores),
            Self::InStep | Self::Due(_) => Self::Due(OnLoss::Restores),
        };
    }

    /// Records that the run's next commands are planned.
    pub(super) const fn planned(&mut self) {
        if let Self::Asked(sync) = *self {
            *self = Self::Due(sync);
        }
    }

    /// Records a reply that says what the store has.
    pub(super) const fn answered(&mut self) {
        *self = match self {
            Self::Asked(_) => Self::Asked(OnLoss::Compares),
            Self::InStep | Self::Due(_) => Self::InStep,
        };
    }

    pub(crate) const fn is_in_step(self) -> bool {
        matches!(self, Self::InStep)
    }

    pub(crate) const fn restores(self) -> bool {
        matches!(self.pending(), OnLoss::Restores)
    }

    const fn pending(self) -> OnLoss {
        match self {
            Self::InStep => OnLoss::Compares,
            Self::Due(sync) | Self::Asked(sync) => sync,
        }
    }
}
