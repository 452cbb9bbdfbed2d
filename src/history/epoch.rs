use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::event::whole_milliseconds;
#[cfg(tower_sse_simulation)]
pub(crate) use crate::simulation::now;

/// The hub or the run to which positions belong.
///
/// It consists of the creation time in milliseconds and random bits: 40 if processes share what it
/// names, otherwise 20. For a hub with a broker, it is a hash of the broker's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// The upper 64 bits. They are zero, except in epochs with 40 random bits.
    high: u64,
    low: u64,
}

const RANDOM_BITS: u32 = 20;
const RADIX: u64 = 36;
const DIGITS: &[u8; RADIX as usize] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// The number of digits of `u64::MAX` in this radix.
const MAX_DIGITS: usize = 13;
/// The number of digits of an epoch with 40 random bits.
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

    /// Returns an epoch of this moment, with 20 random bits.
    pub(crate) fn now() -> Self {
        Self::of((milliseconds() << RANDOM_BITS) | fastrand::u64(..1 << RANDOM_BITS))
    }

    pub(crate) const fn from_number(number: u128) -> Self {
        Self { high: (number >> u64::BITS) as u64, low: number as u64 }
    }

    pub(crate) fn number(self) -> u128 {
        (u128::from(self.high) << u64::BITS) | u128::from(self.low)
    }

    /// Parses the text of an epoch in its canonical form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let canonical = matches!(text.len(), 1..=MAX_DIGITS | UNIQUE_DIGITS)
            && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z'))
            && !text.starts_with('0');
        let number = u128::from_str_radix(text, RADIX as u32).ok().filter(|_| canonical)?;
        let epoch = Self::from_number(number);
        (epoch.high == 0 || text.len() == UNIQUE_DIGITS).then_some(epoch)
    }
}

#[cfg(not(tower_sse_simulation))]
pub(crate) fn now() -> SystemTime {
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
pub(crate) fn milliseconds() -> u64 {
    whole_milliseconds(now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn epochs_are_unique() {
        assert_ne!(Epoch::now(), Epoch::now());
    }
}
