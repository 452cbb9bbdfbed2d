use std::time::Duration;

/// The maximum delay before the first attempt to reconnect. The maximum doubles with each attempt.
const BASE: Duration = Duration::from_millis(50);
/// The maximum delay before any attempt.
const MAX: Duration = Duration::from_secs(2);
/// After a session of this length, the delays start over.
const STABLE_SESSION: Duration = Duration::from_secs(5);

/// The delays before attempts to reconnect.
#[derive(Debug)]
pub struct Backoff {
    attempts: u32,
    max: Duration,
}

impl Backoff {
    /// Creates a series of delays, each at most `max` or 2 seconds, whichever is shorter.
    #[must_use]
    pub fn up_to(max: Duration) -> Self {
        Self { attempts: 0, max: max.min(MAX) }
    }

    /// Makes the delays start over if `age`, the session's length, is at least 5 seconds.
    pub fn end_session(&mut self, age: Duration) {
        if age >= STABLE_SESSION {
            self.attempts = 0;
        }
    }

    /// Returns the delay before the next attempt: a random time between 50 and 100 percent of a
    /// limit. The limit is 50 ms for the first attempt, and doubles with each attempt, but never
    /// exceeds 2 seconds or the maximum passed to [`up_to`](Self::up_to). Random delays keep
    /// processes from reconnecting at the same time.
    pub fn next_delay(&mut self) -> Duration {
        let max = BASE.saturating_mul(1 << self.attempts.min(8)).min(self.max);
        self.attempts = self.attempts.saturating_add(1);
        max.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

/// The maximum number of new entries in a page.
const MAX_ENTRIES: usize = 1000;
/// The size in bytes that pages should not exceed.
const MAX_BYTES: usize = 4 << 20;
/// The maximum number of entries to request after a page of few entries. The next entries may be
/// far larger.
const TRIED: usize = 64;
/// If a full page takes less than this, the page size doubles. Between this and [`SLOW`], it grows
/// by one entry: perhaps the page took 500 ms only because of the link's latency.
const FAST: Duration = Duration::from_millis(500);
/// The page size halves if an answer takes more than this. The stores give up after a few seconds.
const SLOW: Duration = Duration::from_secs(1);

/// The number of entries that the follower requests at a time.
///
/// It starts at 1 and adapts to the time that answers take and to the size of entries. With a fixed
/// number, a page of large entries over a slow link would time out again after each reconnection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageSize(usize);

impl Default for PageSize {
    fn default() -> Self {
        Self(1)
    }
}

impl PageSize {
    pub(crate) const fn entries(self) -> usize {
        self.0
    }

    /// Adapts to an answer with `entries` new entries. The server must not have waited for any of
    /// them.
    pub(crate) fn adapt(&mut self, entries: usize, elapsed: Duration) {
        if elapsed > SLOW {
            self.halve();
        } else if entries < self.0 {
            // The page isn't full, so its time says nothing.
        } else if elapsed < FAST {
            self.0 = (self.0 * 2).min(MAX_ENTRIES);
        } else {
            self.grow();
        }
    }

    /// Adapts to a page's size in bytes, where 0 means unknown.
    pub(crate) fn fit(&mut self, entries: usize, bytes: usize) {
        if let Some(fitting) = entries.saturating_mul(MAX_BYTES).checked_div(bytes) {
            self.0 = self.0.min(fitting).min(entries.saturating_mul(4).max(TRIED)).max(1);
        }
    }

    pub(crate) fn grow(&mut self) {
        self.0 = (self.0 + 1).min(MAX_ENTRIES);
    }

    /// Halves the page size after a slow answer, or after a break of the connection, which may have
    /// been a timeout.
    pub(crate) fn halve(&mut self) {
        self.0 = (self.0 / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::PageSize;

    const FAST: Duration = Duration::from_millis(10);
    const SLOW: Duration = Duration::from_millis(1_500);

    #[test]
    fn page_grows_while_full_pages_are_fast() {
        let mut size = PageSize::default();
        let mut sizes = Vec::new();
        for _ in 0..12 {
            sizes.push(size.entries());
            size.adapt(size.entries(), FAST);
        }
        assert_eq!(sizes, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 1000]);
        size.adapt(999, FAST);
        assert_eq!(size.entries(), 1000, "a page that is not full is the last one");
        size.adapt(1000, Duration::from_millis(700));
        assert_eq!(size.entries(), 1000);
    }

    /// If pages kept one entry each, 2,000 entries would take 20 minutes to load.
    #[test]
    fn page_also_grows_over_a_link_with_a_high_latency() {
        let mut size = PageSize::default();
        let (mut loaded, mut pages) = (0, 0);
        while loaded < 2_000 && pages < 100 {
            pages += 1;
            loaded += size.entries();
            size.adapt(size.entries(), Duration::from_millis(600));
        }
        assert!(loaded >= 2_000, "{loaded}");
    }

    #[test]
    fn page_has_as_many_entries_as_fit() {
        let sizes = [(1000, 1000, 1000), (1000, 1000 << 20, 4), (4, 4 << 10, 4), (1, 9 << 20, 1)];
        for (entries, bytes, expected) in sizes {
            let mut size = PageSize(entries);
            size.fit(entries, bytes);
            assert_eq!(size.entries(), expected, "{entries} entries of {bytes} bytes");
        }
    }

    /// The next entries may be far larger.
    #[test]
    fn page_shrinks_when_few_entries_come() {
        for (entries, expected) in [(0, 1000), (1, 64), (16, 64), (100, 400), (300, 1000)] {
            let mut size = PageSize(1000);
            size.fit(entries, entries);
            assert_eq!(size.entries(), expected, "{entries}");
        }
    }

    #[test]
    fn page_shrinks_when_an_answer_is_slow_or_does_not_come() {
        let mut size = PageSize(5);
        size.adapt(5, SLOW);
        assert_eq!(size.entries(), 2);
        size.halve();
        size.halve();
        assert_eq!(size.entries(), 1);
        size.adapt(0, FAST);
        assert_eq!(size.entries(), 1, "an empty page says nothing");
    }
}
