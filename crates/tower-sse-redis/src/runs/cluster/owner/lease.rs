use std::time::Duration;

use tokio::time::Instant;

/// The number of renewals between two looks at the stream.
const RENEWALS: u8 = 3;

/// When this process renews its lease on a run.
pub(super) struct Lease {
    pub(super) renew_at: Instant,
    /// The number of renewals since the last look at the stream.
    renewals: u8,
}

impl Lease {
    pub(super) fn new(renew_at: Instant) -> Self {
        Self { renew_at, renewals: 0 }
    }

    /// Returns whether the next renewal looks at the stream: it compares the number of entries, which
    /// finds a lost stream.
    pub(super) const fn looks(&self) -> bool {
        self.renewals == RENEWALS
    }

    /// Records that the lease was renewed. The next renewal is due after about `interval`.
    pub(super) fn renewed(&mut self, now: Instant, interval: Duration) {
        // Random, so that runs that were renewed together drift apart.
        self.renew_at = now + interval.mul_f64(0.875 + 0.25 * fastrand::f64());
        self.renewals = if self.looks() { 0 } else { self.renewals + 1 };
    }

    /// Records that the stream was seen.
    pub(super) const fn looked(&mut self) {
        self.renewals = 0;
    }
}
