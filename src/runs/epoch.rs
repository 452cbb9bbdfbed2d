//! The epochs of runs, in the order in which the runs started.

use std::time::{Duration, UNIX_EPOCH};

use crate::history::{Epoch, milliseconds, now};

/// The number of random bits of a unique epoch.
const UNIQUE_BITS: u32 = 40;
/// The lowest unique epoch. All unique epochs have the same number of digits, so that the order of
/// their texts is that of their times.
const UNIQUE: u128 = 1 << 86;

/// Returns the epoch of a new run, later than `earlier`.
pub(crate) fn after(earlier: Option<Epoch>) -> Epoch {
    let next = earlier.map_or(0, |earlier| earlier.number() + 1);
    Epoch::now().max(Epoch::from_number(next))
}

/// Returns an epoch later than `earlier`, with 40 random bits. Another process is very unlikely to
/// have the same epoch, even if the clocks are equal or stand still.
pub(crate) fn unique(earlier: Option<Epoch>) -> Epoch {
    unique_at(milliseconds(), earlier)
}

fn unique_at(milliseconds: u64, earlier: Option<Epoch>) -> Epoch {
    let next = earlier.map_or(0, |earlier| created_at(earlier).saturating_add(1));
    let time = u128::from(milliseconds.max(next)) << UNIQUE_BITS;
    let random = random() >> (u64::BITS - UNIQUE_BITS);
    Epoch::from_number(UNIQUE | (time & (UNIQUE - 1)) | u128::from(random))
}

/// Returns the milliseconds from 1970 to the creation of a unique epoch.
fn created_at(unique: Epoch) -> u64 {
    ((unique.number() & (UNIQUE - 1)) >> UNIQUE_BITS) as u64
}

/// Returns the time since a unique epoch was created, according to the clock of this machine.
pub(crate) fn age(unique: Epoch) -> Duration {
    let created = UNIX_EPOCH + Duration::from_millis(created_at(unique));
    now().duration_since(created).unwrap_or_default()
}

/// Returns random bits of the operating system, or those of the simulation.
#[must_use]
pub fn random() -> u64 {
    #[cfg(tower_sse_simulation)]
    return fastrand::u64(..);
    #[cfg(not(tower_sse_simulation))]
    {
        use std::{
            hash::{BuildHasher, RandomState},
            time::{SystemTime, UNIX_EPOCH},
        };

        // Two copies of one virtual machine may have the same random keys, but not the same time.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        RandomState::new().hash_one(now)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use super::{after, age, created_at, unique, unique_at};
    use crate::history::{Epoch, milliseconds};

    #[test]
    fn unique_epochs_differ_between_processes_whose_clocks_stand_still() {
        for clock in [0, 1_700_000_000_000] {
            let mut seen = HashSet::new();
            for _process in 0..100 {
                let mut earlier = None;
                for _ in 0..200 {
                    let epoch = unique_at(clock, earlier);
                    assert!(seen.insert(epoch), "{epoch}");
                    assert!(earlier < Some(epoch));
                    earlier = Some(epoch);
                }
            }
        }
    }

    #[test]
    fn texts_of_unique_epochs_are_in_the_order_of_their_times() {
        let earlier = unique_at(5_000, None);
        let later = unique_at(4_000, Some(earlier));
        assert!(
            earlier < later && earlier.to_string() < later.to_string(),
            "the clock was set back"
        );
        for epoch in [earlier, later, unique(None), unique_at(u64::MAX, None)] {
            let text = epoch.to_string();
            assert_eq!((text.len(), Epoch::parse(&text)), (17, Some(epoch)));
            assert!(Epoch::now() < epoch, "epochs of earlier versions come first");
        }
        assert_eq!(Epoch::parse("3w5e11264sgsg"), None, "13 digits, above 64 bits");
        assert_eq!(created_at(later), 5_001);
    }

    #[test]
    fn unique_epochs_have_the_time_of_their_creation() {
        let before = milliseconds();
        let epoch = unique(None);
        assert!((before..=milliseconds()).contains(&created_at(epoch)), "{epoch}");
        assert!(age(epoch) < Duration::from_secs(60), "{epoch}");
        assert!(age(unique_at(before - 60_000, None)) >= Duration::from_secs(60));
        let ahead = unique_at(before + 60_000, None);
        assert_eq!(age(ahead), Duration::ZERO, "the clock was set back");
    }

    #[test]
    fn epoch_after_another_is_later_although_the_clock_was_set_back() {
        let ahead = Epoch::from_number(Epoch::now().number() + (60_000 << 20));
        assert_eq!(after(Some(ahead)).number(), ahead.number() + 1);
        assert!(after(None) < ahead);
    }
}
