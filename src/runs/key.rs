use std::{fmt, sync::Arc};

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
/// let key = RunKey::new("user:42", "turn:7").unwrap();
/// assert_ne!(Some(key), RunKey::new("user:43", "turn:7"));
/// assert_eq!(RunKey::new("user:42", ""), None);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RunKey {
    owner: Option<Arc<str>>,
    name: Arc<str>,
}

impl RunKey {
    /// Creates the key of a run that belongs to `owner`.
    ///
    /// Returns `None` if either part is empty or longer than 512 bytes.
    pub fn new(owner: impl AsRef<str>, name: impl AsRef<str>) -> Option<Self> {
        Some(Self { owner: Some(part(owner.as_ref())?), name: part(name.as_ref())? })
    }

    /// Creates the key of a run without an owner: every client that knows the name can attach to
    /// the run, cancel it and replace it.
    ///
    /// Use it for names that the server generates at random, or for public answers.
    ///
    /// Returns `None` if the name is empty or longer than 512 bytes.
    pub fn shared(name: impl AsRef<str>) -> Option<Self> {
        Some(Self { owner: None, name: part(name.as_ref())? })
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

fn part(text: &str) -> Option<Arc<str>> {
    (!text.is_empty() && text.len() <= MAX_LEN).then(|| text.into())
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

#[cfg(test)]
mod tests {
    use super::RunKey;

    #[test]
    fn parts_are_neither_empty_nor_too_long() {
        let longest = "x".repeat(512);
        assert!(RunKey::new(&longest, &longest).is_some());
        assert!(RunKey::shared(&longest).is_some());
        for bad in [String::new(), "x".repeat(513)] {
            assert_eq!(RunKey::new(&bad, "x"), None);
            assert_eq!(RunKey::new("x", &bad), None);
            assert_eq!(RunKey::shared(&bad), None);
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
