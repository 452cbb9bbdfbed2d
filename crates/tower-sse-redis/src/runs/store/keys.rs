use std::fmt::Write;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tower_sse::runs::RunKey;

use crate::runs::seam::run_id::{ProcessId, RunId};

/// The length of most names.
const CAPACITY: usize = 128;

/// The names of keys and channels.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: Box<str>,
    database: i64,
}

impl Keys {
    pub(super) fn new(prefix: &str, database: i64) -> Self {
        Self { prefix: format!("{prefix}:run:").into(), database }
    }

    pub(super) fn claim(&self, key: &RunKey) -> String {
        let mut text = String::with_capacity(CAPACITY);
        text.push_str(&self.prefix);
        text.push('{');
        // The separator is encoded in both parts, so no two keys have the same tag.
        if let Some(owner) = key.owner() {
            text.extend(utf8_percent_encode(owner, NON_ALPHANUMERIC));
            text.push(':');
        }
        text.extend(utf8_percent_encode(key.name(), NON_ALPHANUMERIC));
        text.push('}');
        text
    }

    pub(super) fn stream(&self, run: &RunId) -> String {
        let mut text = self.claim(&run.key);
        _ = write!(text, ":{}", run.epoch);
        text
    }

    pub(super) fn channel(&self, run: &RunId) -> String {
        self.channel_of(self.stream(run))
    }

    /// Returns the channel of the run with this stream.
    pub(super) fn channel_of(&self, mut stream: String) -> String {
        _ = write!(stream, "@{}", self.database);
        stream
    }

    /// Returns the key that is missing only on a server that has lost its data.
    pub(super) fn data(&self) -> String {
        format!("{}data", self.prefix)
    }

    /// Returns the channel of hints to all processes.
    pub(super) fn everyone(&self) -> String {
        format!("{}ctl@{}", self.prefix, self.database)
    }

    /// Returns the channel of hints to a process.
    pub(super) fn control(&self, process: &ProcessId) -> String {
        self.control_prefix() + process.as_str()
    }

    pub(super) fn control_prefix(&self) -> String {
        format!("{}ctl@{}:", self.prefix, self.database)
    }
}

#[cfg(test)]
mod tests {
    use crate::runs::seam::run_id::{ProcessId, RunId};
    use tower_sse::runs::{RunKey, support::Epoch};

    use super::Keys;

    #[test]
    fn names_contain_the_prefix_the_tag_and_the_database() {
        let keys = Keys::new("app", 3);
        let run = RunId::new(RunKey::new("a:b", "c d}").unwrap(), Epoch::parse("k1").unwrap());
        assert_eq!(keys.claim(&run.key), "app:run:{a%3Ab:c%20d%7D}");
        assert_eq!(keys.stream(&run), "app:run:{a%3Ab:c%20d%7D}:k1");
        assert_eq!(keys.channel(&run), "app:run:{a%3Ab:c%20d%7D}:k1@3");
        assert_eq!((keys.data(), keys.everyone()), ("app:run:data".into(), "app:run:ctl@3".into()));
        assert_eq!(keys.control(&ProcessId::from_claim("p1")), "app:run:ctl@3:p1");
    }

    #[test]
    fn different_keys_have_different_names() {
        let keys = Keys::new("app", 0);
        let owned = |owner, name| keys.claim(&RunKey::new(owner, name).unwrap());
        let names = [
            owned("a", "b:c"),
            owned("a:b", "c"),
            owned("a%3Ab", "c"),
            keys.claim(&RunKey::shared("a:b:c").unwrap()),
            keys.claim(&RunKey::shared("ctl").unwrap()),
        ];
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{name}");
        }
    }
}
