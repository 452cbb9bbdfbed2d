use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::event::whole_milliseconds;
#[cfg(tower_sse_simulation)]
use crate::simulation::now;

#[cfg(feature = "runs")]
use super::random::random;

/// The hub or the run to which positions belong.
///
/// For a run, or a hub without a broker, it consists of the creation time in milliseconds and
/// random bits: 40 for runs that processes share, otherwise 20. For a hub with a broker, it is a
/// hash of the broker's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Epoch {
    /// The upper 64 bits. They are zero, except in epochs from [`Epoch::unique`].
    high: u64,
    low: u64,
}

const RANDOM_BITS: u32 = 20;
const RADIX: u64 = 36;
const DIGITS: &[u8; RADIX as usize] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// The number of digits of `u64::MAX` in this radix.
const MAX_DIGITS: usize = 13;
/// The number of random bits of a unique epoch.
#[cfg(feature = "runs")]
const UNIQUE_BITS: u32 = 40;
/// The lowest unique epoch. All of them have the same number of digits, so that their texts are in
/// the order of their times.
#[cfg(feature = "runs")]
const UNIQUE: u128 = 1 << 86;
/// The number of digits of a unique epoch.
const UNIQUE_DIGITS: usize = 17;
/// The number of digits of an epoch that is derived from a name.
const NAMED_DIGITS: u32 = 5;

impl Epoch {
    /// Derives an epoch from a name, so that it is the same in every process. It has fewer digits
    /// than one from [`now`](Self::now).
    pub(crate) fn of_name(name: &str) -> Self {
        // FNV-1a is the same on every machine and in every version, unlike the standard library's
        // hash.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let smallest = RADIX.pow(NAMED_DIGITS - 1);
        Self::of(smallest + hash % (RADIX.pow(NAMED_DIGITS) - smallest))
    }

    pub(super) const fn of(low: u64) -> Self {
        Self { high: 0, low }
    }

    pub(crate) fn now() -> Self {
        Self::of((milliseconds() << RANDOM_BITS) | fastrand::u64(..1 << RANDOM_BITS))
    }

    /// Returns an epoch of the present time that is later than `earlier`.
    pub(crate) fn now_after(earlier: Self) -> Self {
        Self::now().max(Self::of(earlier.low.saturating_add(1)))
    }

    /// Returns an epoch later than `earlier`, with 40 random bits. Another process is very unlikely
    /// to have the same epoch, even if the clocks are equal or stand still.
    #[cfg(feature = "runs")]
    pub(crate) fn unique(earlier: Option<Self>) -> Self {
        Self::unique_at(milliseconds(), earlier)
    }

    #[cfg(feature = "runs")]
    fn unique_at(milliseconds: u64, earlier: Option<Self>) -> Self {
        let next = earlier.map_or(0, |earlier| earlier.milliseconds().saturating_add(1));
        let time = u128::from(milliseconds.max(next)) << UNIQUE_BITS;
        let random = random() >> (u64::BITS - UNIQUE_BITS);
        let number = UNIQUE | (time & (UNIQUE - 1)) | u128::from(random);
        Self { high: (number >> u64::BITS) as u64, low: number as u64 }
    }

    fn number(self) -> u128 {
        (u128::from(self.high) << u64::BITS) | u128::from(self.low)
    }

    /// Returns the time at which the epoch was created.
    #[cfg(feature = "runs")]
    fn milliseconds(self) -> u64 {
        match self.high {
            0 => self.low >> RANDOM_BITS,
            _ => ((self.number() & (UNIQUE - 1)) >> UNIQUE_BITS) as u64,
        }
    }

    /// Returns the time since the epoch was created, according to the clock of this machine.
    #[cfg(feature = "runs")]
    pub(crate) fn age(self) -> Duration {
        let created = UNIX_EPOCH + Duration::from_millis(self.milliseconds());
        now().duration_since(created).unwrap_or_default()
    }

    /// Parses the text of an epoch in its canonical form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let canonical = matches!(text.len(), 1..=MAX_DIGITS | UNIQUE_DIGITS)
            && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z'))
            && !text.starts_with('0');
        let number = u128::from_str_radix(text, RADIX as u32).ok().filter(|_| canonical)?;
        let (high, low) = ((number >> u64::BITS) as u64, number as u64);
        (high == 0 || text.len() == UNIQUE_DIGITS).then_some(Self { high, low })
    }
}

#[cfg(not(tower_sse_simulation))]
fn now() -> SystemTime {
    SystemTime::now()
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; UNIQUE_DIGITS];
        let (mut rest, mut count) = (self.number(), 0);
        for place in digits.iter_mut().rev() {
            // Numbers of two words are slow to divide.
            let (quotient, digit) = match u64::try_from(rest) {
                Ok(low) => (u128::from(low / RADIX), low % RADIX),
                Err(_) => (rest / u128::from(RADIX), (rest % u128::from(RADIX)) as u64),
            };
            rest = quotient;
            *place = DIGITS.get(digit as usize).copied().unwrap_or(b'0');
            count += 1;
            if rest == 0 {
                break;
            }
        }
        let text = digits.get(UNIQUE_DIGITS - count..).unwrap_or_default();
        f.write_str(std::str::from_utf8(text).unwrap_or_default())
    }
}

/// Returns the milliseconds since 1970.
fn milliseconds() -> u64 {
    whole_milliseconds(now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "runs")]
    use std::time::Duration;

    use super::Epoch;

    #[test]
    fn epoch_of_a_name_has_five_digits_and_never_changes() {
        // Pinned: processes of different versions share these ids.
        assert_eq!(Epoch::of_name("redis:tower-sse").to_string(), "kj3lf");
        for name in ["", "a", "b", "redis:chat"] {
            let epoch = Epoch::of_name(name);
            assert_eq!(epoch.to_string().len(), 5, "{name}");
            assert_eq!(Epoch::parse(&epoch.to_string()), Some(epoch));
        }
        assert_ne!(Epoch::of_name("a"), Epoch::of_name("b"));
    }

    #[cfg(feature = "runs")]
    #[test]
    fn unique_epochs_differ_between_processes_whose_clocks_stand_still() {
        for clock in [0, 1_700_000_000_000] {
            let mut seen = std::collections::HashSet::new();
            for _process in 0..100 {
                let mut earlier = None;
                for _ in 0..200 {
                    let epoch = Epoch::unique_at(clock, earlier);
                    assert!(seen.insert(epoch), "{epoch}");
                    assert!(earlier < Some(epoch));
                    earlier = Some(epoch);
                }
            }
        }
    }

    #[cfg(feature = "runs")]
    #[test]
    fn texts_of_unique_epochs_are_in_the_order_of_their_times() {
        let earlier = Epoch::unique_at(5_000, None);
        let later = Epoch::unique_at(4_000, Some(earlier));
        assert!(
            earlier < later && earlier.to_string() < later.to_string(),
            "the clock was set back"
        );
        for epoch in [earlier, later, Epoch::unique(None), Epoch::unique_at(u64::MAX, None)] {
            let text = epoch.to_string();
            assert_eq!((text.len(), Epoch::parse(&text)), (17, Some(epoch)));
            assert!(Epoch::now() < epoch, "epochs of earlier versions come first");
        }
        assert_eq!(Epoch::parse("3w5e11264sgsg"), None, "13 digits, above 64 bits");
        assert_eq!(later.milliseconds(), 5_001);
    }

    #[cfg(feature = "runs")]
    #[test]
    fn epochs_have_the_time_of_their_creation() {
        let before = super::milliseconds();
        for epoch in [Epoch::now(), Epoch::unique(None)] {
            assert!((before..=super::milliseconds()).contains(&epoch.milliseconds()), "{epoch}");
            assert!(epoch.age() < Duration::from_secs(60), "{epoch}");
        }
        let earlier = Epoch::unique_at(before - 60_000, None);
        assert!(earlier.age() >= Duration::from_secs(60));
        let ahead = Epoch::of(Epoch::now().low + (60_000 << super::RANDOM_BITS));
        assert_eq!(ahead.age(), Duration::ZERO, "the clock was set back");
        assert_eq!(Epoch::now_after(ahead).low, ahead.low + 1);
    }

    #[test]
    fn epochs_are_unique() {
        assert_ne!(Epoch::now(), Epoch::now());
    }
}
