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

/// A renewal, and whether it looks at the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    Plain,
    /// It compares the number of the stream's entries, which finds a lost stream.
    Look,
}

impl Lease {
    pub(super) fn new(renew_at: Instant) -> Self {
        Self { renew_at, renewals: 0 }
    }

    /// Returns the renewal to send, if one is due at `now`, which can be a moment ahead: a renewal that
    /// is almost due joins those of other runs.
    pub(super) fn next(&self, now: Instant) -> Option<Renewal> {
        let renewal = if self.renewals < RENEWALS { Renewal::Plain } else { Renewal::Look };
        (now >= self.renew_at).then_some(renewal)
    }

    /// Records that the lease was renewed. The next renewal is due after about `interval`.
    pub(super) fn renewed(&mut self, now: Instant, interval: Duration) {
        // Random, so that runs that were renewed together drift apart.
        self.renew_at = now + interval.mul_f64(0.875 + 0.25 * fastrand::f64());
        self.renewals = if self.renewals < RENEWALS { self.renewals + 1 } else { 0 };
    }

    /// Records that the stream was seen.
    pub(super) const fn looked(&mut self) {
        self.renewals = 0;
    }
}
