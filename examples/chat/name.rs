use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a room or of a user, as part of a topic's name: short, and without a colon, which
/// separates rooms from users there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub(super) struct Name(String);

/// The maximum length in characters.
const LONGEST: usize = 24;

impl TryFrom<String> for Name {
    type Error = InvalidName;

    fn try_from(name: String) -> Result<Self, InvalidName> {
        let is_allowed = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_');
        let is_name = matches!(name.chars().count(), 1..=LONGEST) && name.chars().all(is_allowed);
        is_name.then_some(Self(name)).ok_or(InvalidName)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug)]
pub(super) struct InvalidName;

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a name has 1 to {LONGEST} letters, digits, hyphens and underscores")
    }
}
