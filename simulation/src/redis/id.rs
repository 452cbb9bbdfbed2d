use std::fmt;

use super::resp::Reply;

/// The id of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub(super) milliseconds: u64,
    pub(super) counter: u64,
}

impl Id {
    pub(super) const MIN: Self = Self { milliseconds: 0, counter: 0 };
    pub(super) const MAX: Self = Self { milliseconds: u64::MAX, counter: u64::MAX };

    /// Parses an id, which can leave out the counter.
    pub(super) fn parse(text: &[u8], default_counter: u64) -> Result<Self, Reply> {
        let invalid = || Reply::error("Invalid stream ID specified as stream command argument");
        let text = std::str::from_utf8(text).map_err(|_| invalid())?;
        let number = |digits: &str| -> Result<u64, Reply> {
            // `parse` also accepts a plus sign.
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| is_number).ok_or_else(invalid)
        };
        match text.split_once('-') {
            Some((milliseconds, counter)) => {
                Ok(Self { milliseconds: number(milliseconds)?, counter: number(counter)? })
            }
            None => Ok(Self { milliseconds: number(text)?, counter: default_counter }),
        }
    }

    /// Returns the next id, unless this is the last one.
    pub(super) fn next(self) -> Option<Self> {
        match self.counter.checked_add(1) {
            Some(counter) => Some(Self { counter, ..self }),
            None => Some(Self { milliseconds: self.milliseconds.checked_add(1)?, counter: 0 }),
        }
    }

    pub(super) fn previous(self) -> Option<Self> {
        match self.counter.checked_sub(1) {
            Some(counter) => Some(Self { counter, ..self }),
            None => {
                let milliseconds = self.milliseconds.checked_sub(1)?;
                Some(Self { milliseconds, counter: u64::MAX })
            }
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.milliseconds, self.counter)
    }
}
