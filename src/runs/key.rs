use std::time::{Duration, UNIX_EPOCH};
use std::{fmt, sync::Arc};

use crate::history::{Epoch, milliseconds, now};

/// The maximum length of an owner or a name, in bytes.
const MAX_LEN: usize = 512;

/// A run's key: an owner and a name. Only clients of this owner can reach the run, unless the
/// key is [shared](Self::shared). A key names [one answer or a whole chat](super#keys).
///
/// If clients choose the names, use keys with an owner, such as the user's id from an authenticated
/// session. If two owners choose the same name, each has a run of its own.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RunKey {
    owner: Option<Arc<str>>,
    name: Arc<str>,
}

impl RunKey {
    /// The maximum total length of the owner and the name, in bytes.
    pub(super) const MAX_LEN: usize = 2 * MAX_LEN;

    /// Creates the key of a run that belongs to `owner`.
    ///
    /// # Errors
    ///
    /// Returns an error if either part is empty or longer than 512 bytes.
    pub fn new(owner: impl AsRef<str>, name: impl AsRef<str>) -> Result<Self, InvalidKey> {
        let owner = Some(part("owner", owner.as_ref())?);
        Ok(Self { owner, name: part("name", name.as_ref())? })
    }

    /// Creates a key without an owner. Use it if the answer is public, or if the server generates
    /// the name at random. Every client that knows the name can attach to the run, and cancel or
    /// replace it if your handlers allow that.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is empty or longer than 512 bytes.
    pub fn shared(name: impl AsRef<str>) -> Result<Self, InvalidKey> {
        Ok(Self { owner: None, name: part("name", name.as_ref())? })
    }

    /// Returns the owner, or `None` for a [shared](Self::shared) key.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn shared_owner(&self) -> Option<&Arc<str>> {
        self.owner.as_ref()
    }

    pub(super) fn len(&self) -> usize {
        self.owner.as_ref().map_or(0, |owner| owner.len()) + self.name.len()
    }
}

fn part(part: &'static str, text: &str) -> Result<Arc<str>, InvalidKey> {
    match text.len() {
        1..=MAX_LEN => Ok(text.into()),
        len => Err(InvalidKey { part, len }),
    }
}

/// Omits the owner, which can be a session's secret, and the name of a shared run, which lets any
/// client attach.
impl fmt::Debug for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = f.debug_struct("RunKey");
        if self.owner.is_some() {
            key.field("name", &self.name);
        }
        key.finish_non_exhaustive()
    }
}

/// The error for a [`RunKey`] whose owner or name is empty or too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidKey {
    part: &'static str,
    len: usize,
}

error_text!(InvalidKey, |it| "run {} has {} bytes, not 1 to {MAX_LEN}", it.part, it.len);

/// The number of random bits of a unique epoch.
const UNIQUE_BITS: u32 = 40;
/// The lowest unique epoch. All unique epochs have the same number of digits, so their texts sort
/// by time.
const UNIQUE: u128 = 1 << 86;

pub(crate) fn epoch_after(earlier: Option<Epoch>) -> Epoch {
    let next = earlier.map_or(0, |earlier| earlier.0 + 1);
    Epoch::now().max(Epoch(next))
}

/// Returns an epoch with 40 random bits. No other process is likely to have the same epoch, even if
/// clocks are equal or stand still.
pub(crate) fn unique_epoch(earlier: Option<Epoch>) -> Epoch {
    unique_epoch_at(milliseconds(), earlier)
}

fn unique_epoch_at(milliseconds: u64, earlier: Option<Epoch>) -> Epoch {
    let next = earlier.map_or(0, |earlier| created_at(earlier).saturating_add(1));
    let time = u128::from(milliseconds.max(next)) << UNIQUE_BITS;
    let random = random() >> (u64::BITS - UNIQUE_BITS);
    Epoch(UNIQUE | (time & (UNIQUE - 1)) | u128::from(random))
}

fn created_at(unique: Epoch) -> u64 {
    ((unique.0 & (UNIQUE - 1)) >> UNIQUE_BITS) as u64
}

pub(crate) fn epoch_age(unique: Epoch) -> Duration {
    let created = UNIX_EPOCH + Duration::from_millis(created_at(unique));
    now().duration_since(created).unwrap_or_default()
}

/// Returns random bits. In a simulation, they depend only on its seed.
pub(crate) fn random() -> u64 {
    #[cfg(tower_sse_simulation)]
    return fastrand::u64(..);
    #[cfg(not(tower_sse_simulation))]
    {
        use std::hash::{BuildHasher, RandomState};
        use std::time::{SystemTime, UNIX_EPOCH};

        // Copies of a virtual machine can have the same random keys, so the time is hashed too.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        RandomState::new().hash_one(now)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use super::{RunKey, created_at, epoch_after, epoch_age, unique_epoch, unique_epoch_at};
    use crate::history::{Epoch, milliseconds};

    #[test]
    fn parts_are_neither_empty_nor_too_long() {
        let longest = "x".repeat(512);
        assert!(RunKey::new(&longest, &longest).is_ok());
        assert!(RunKey::shared(&longest).is_ok());
        for (bad, text) in [
            (String::new(), "has 0 bytes, not 1 to 512"),
            ("x".repeat(513), "has 513 bytes, not 1 to 512"),
        ] {
            for (key, part) in [
                (RunKey::new(&bad, "x"), "owner"),
                (RunKey::new("x", &bad), "name"),
                (RunKey::shared(&bad), "name"),
            ] {
                assert_eq!(key.unwrap_err().to_string(), format!("run {part} {text}"));
            }
        }
    }

    #[test]
    fn owners_have_names_of_their_own() {
        assert_ne!(RunKey::new("a", "bc"), RunKey::new("ab", "c"));
        assert_ne!(RunKey::new("a", "b"), RunKey::shared("b"));
        assert_eq!(RunKey::new("a", "b"), RunKey::new("a", "b"));
    }

    #[test]
    fn debug_output_hides_the_owner_and_the_name_of_a_shared_run() {
        let shared = format!("{:?}", RunKey::shared("secret").unwrap());
        assert!(!shared.contains("secret"), "{shared}");
        let owned = format!("{:?}", RunKey::new("secret", "turn").unwrap());
        assert!(owned.contains("turn") && !owned.contains("secret"), "{owned}");
    }

    #[test]
    fn unique_epochs_differ_between_processes_whose_clocks_stand_still() {
        for clock in [0, 1_700_000_000_000] {
            let mut seen = HashSet::new();
            for _process in 0..100 {
                let mut earlier = None;
                for _ in 0..200 {
                    let epoch = unique_epoch_at(clock, earlier);
                    assert!(seen.insert(epoch), "{epoch}");
                    assert!(earlier < Some(epoch));
                    earlier = Some(epoch);
                }
            }
        }
    }

    #[test]
    fn texts_of_unique_epochs_are_in_the_order_of_their_times() {
        let earlier = unique_epoch_at(5_000, None);
        let later = unique_epoch_at(4_000, Some(earlier));
        assert!(
            earlier < later && earlier.to_string() < later.to_string(),
            "the clock was set back"
        );
        for epoch in [earlier, later, unique_epoch(None), unique_epoch_at(u64::MAX, None)] {
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
        let epoch = unique_epoch(None);
        assert!((before..=milliseconds()).contains(&created_at(epoch)), "{epoch}");
        assert!(epoch_age(epoch) < Duration::from_secs(60), "{epoch}");
        assert!(epoch_age(unique_epoch_at(before - 60_000, None)) >= Duration::from_secs(60));
        let ahead = unique_epoch_at(before + 60_000, None);
        assert_eq!(epoch_age(ahead), Duration::ZERO, "the clock was set back");
    }

    #[test]
    fn epoch_after_another_is_later_although_the_clock_was_set_back() {
        let ahead = Epoch(Epoch::now().0 + (60_000 << 20));
        assert_eq!(epoch_after(Some(ahead)).0, ahead.0 + 1);
        assert!(epoch_after(None) < ahead);
    }
}
