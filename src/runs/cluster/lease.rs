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

/// What a renewal does besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    Only,
    /// It compares the number of the stream's entries, which finds a lost stream.
    Look,
}

impl Lease {
    pub(super) fn new(renew_at: Instant) -> Self {
        Self { renew_at, renewals: 0 }
    }

    /// Returns the renewal to send, if one is due.
    pub(super) fn next(&mut self, now: Instant) -> Option<Renewal> {
        if now < self.renew_at {
            return None;
        }
        if self.renewals < RENEWALS {
            self.renewals += 1;
            return Some(Renewal::Only);
        }
        self.renewals = 0;
        Some(Renewal::Look)
    }

    /// Records that the lease was renewed. The next renewal is due after about `interval`.
    pub(super) fn renewed(&mut self, now: Instant, interval: Duration) {
        // Spread, so that runs that were renewed together are not for ever.
        self.renew_at = now + interval.mul_f64(0.875 + 0.25 * fastrand::f64());
    }

    /// Records that the stream was seen.
    pub(super) const fn looked(&mut self) {
        self.renewals = 0;
    }
}
