use std::{error::Error, fmt, sync::Arc};

/// The maximum length of an owner or a name, in bytes.
const MAX_LEN: usize = 512;

/// The key of a run: an owner and a name. Only clients of this owner can reach the run.
///
/// With the [layer](super::Runs::layer), a key must name one answer, such as one turn of a chat.
/// With [`Runs::replace`](super::Runs::replace), it can name a whole chat, and the run is the
/// current turn.
///
/// Names that clients choose need an owner, such as the user's id from an authenticated session. If
/// two owners use the same name, they have two runs.
///
/// ```
/// use tower_sse::runs::RunKey;
///
/// assert_ne!(RunKey::new("user:42", "turn:7")?, RunKey::new("user:43", "turn:7")?);
/// assert!(RunKey::new("user:42", "").is_err());
/// # Ok::<_, tower_sse::runs::InvalidKey>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RunKey {
    owner: Option<Arc<str>>,
    name: Arc<str>,
}

impl RunKey {
    /// The maximum total length of both parts.
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

    /// Creates the key of a run without an owner: every client that knows the name can attach to
    /// the run, cancel it and replace it.
    ///
    /// Use it for names that the server generates at random, or for public answers.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is empty or longer than 512 bytes.
    pub fn shared(name: impl AsRef<str>) -> Result<Self, InvalidKey> {
        Ok(Self { owner: None, name: part("name", name.as_ref())? })
    }

    /// Returns the owner, or `None` for a [shared](Self::shared) run.
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

    /// Returns the total length of both parts in bytes.
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

/// Hides the owner, which can be a session's secret, and the name of a shared run, which is all
/// that a client needs to attach to it.
impl fmt::Debug for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = f.debug_struct("RunKey");
        if self.owner.is_some() {
            key.field("name", &self.name);
        }
        key.finish_non_exhaustive()
    }
}

/// The error of creating a [`RunKey`] whose owner or name is empty or too long.
///
/// ```
/// use tower_sse::runs::RunKey;
///
/// let error = RunKey::new("user:42", "x".repeat(513)).unwrap_err();
/// assert_eq!(error.part(), "name");
/// assert_eq!(error.to_string(), "run name has 513 bytes, and the maximum is 512");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidKey {
    part: &'static str,
    len: usize,
}

impl InvalidKey {
    /// Returns the invalid part: `owner` or `name`.
    #[must_use]
    pub const fn part(&self) -> &'static str {
        self.part
    }
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { part, len: 0 } => write!(f, "run {part} is empty"),
            Self { part, len } => {
                write!(f, "run {part} has {len} bytes, and the maximum is {MAX_LEN}")
            }
        }
    }
}

impl Error for InvalidKey {}

#[cfg(test)]
mod tests {
    use super::RunKey;

    #[test]
    fn parts_are_neither_empty_nor_too_long() {
        let longest = "x".repeat(512);
        assert!(RunKey::new(&longest, &longest).is_ok());
        assert!(RunKey::shared(&longest).is_ok());
        for (bad, text) in [
            (String::new(), "is empty"),
            ("x".repeat(513), "has 513 bytes, and the maximum is 512"),
        ] {
            for (key, part) in [
                (RunKey::new(&bad, "x"), "owner"),
                (RunKey::new("x", &bad), "name"),
                (RunKey::shared(&bad), "name"),
            ] {
                let error = key.unwrap_err();
                assert_eq!(error.part(), part);
                assert_eq!(error.to_string(), format!("run {part} {text}"));
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
}
