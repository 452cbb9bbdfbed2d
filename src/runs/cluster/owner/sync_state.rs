/// Whether the store's copy of a run is as its owner knows it, or needs a `Sync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyncState {
    InStep,
    /// The next plan has a `Sync`, or the last one had. Its reply settles the state.
    Due(Sync),
    /// The same, but it was asked for since the last plan: a reply to an earlier one is out of date.
    Asked(Sync),
}

/// What a `Sync` does to a run whose keys the store has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// It reports that.
    Compares,
    /// It creates them again.
    Restores,
}

impl SyncState {
    /// Asks for a `Sync` after the last plan, because of something else than its replies.
    pub(super) const fn ask(&mut self) {
        *self = Self::Asked(self.pending());
    }

    /// Makes a `Sync` due, because of a reply.
    pub(super) const fn need(&mut self) {
        if let Self::InStep = *self {
            *self = Self::Due(Sync::Compares);
        }
    }

    /// Makes a `Sync` due that restores the run, because of a reply.
    pub(super) const fn need_to_restore(&mut self) {
        *self = match self {
            Self::Asked(_) => Self::Asked(Sync::Restores),
            Self::InStep | Self::Due(_) => Self::Due(Sync::Restores),
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
            Self::Asked(_) => Self::Asked(Sync::Compares),
            Self::InStep | Self::Due(_) => Self::InStep,
        };
    }

    pub(crate) const fn is_in_step(self) -> bool {
        matches!(self, Self::InStep)
    }

    pub(crate) const fn restores(self) -> bool {
        matches!(self.pending(), Sync::Restores)
    }

    const fn pending(self) -> Sync {
        match self {
            Self::InStep => Sync::Compares,
            Self::Due(sync) | Self::Asked(sync) => sync,
        }
    }
}
