use std::{fmt::Write as _, time::Duration};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use redis::{Cmd, cmd};
use tower_sse::runs::{__private::Epoch, RunKey};

use crate::runs::seam::{LIVE, ProcessId, RunId};
use crate::server::whole_milliseconds;

/// The values that the commands of a process need.
pub(super) struct Scope {
    pub(super) keys: Keys,
    pub(super) process: ProcessId,
    pub(super) lease: Duration,
    /// The time that the keys of a run are kept once it has ended.
    pub(super) kept_for: Duration,
}

/// The size at which a page is full. Larger events are loaded in parts.
pub(crate) const PAGE_BYTES: usize = 64 * 1024;
/// The maximum number of entries of a page, which takes Redis up to half a millisecond.
const PAGE_ENTRIES: usize = 256;

/// Writes commands for one server.
pub(super) struct Encoder<'a> {
    pub(super) scope: &'a Scope,
    pub(super) hashes: &'a Hashes,
    /// Whether the server is a node of a cluster.
    pub(super) is_cluster: bool,
}

impl Encoder<'_> {
    /// Returns the command that shows that this process lives. The process repeats the command at
    /// intervals. `server` is the id of this server, and `earlier` that of the server used last.
    pub(super) fn beat(
        &self,
        server: &str,
        earlier: Option<&str>,
        (counter, restored): (u64, String),
    ) -> Cmd {
        let Scope { keys, process, kept_for, .. } = self.scope;
        let mut command =
            self.call(Script::Beat, &[keys.data(), keys.processes(), keys.control(process)]);
        command.arg(server).arg(earlier.unwrap_or_default());
        command.arg(whole_milliseconds(self.scope.lease)).arg(keys.everyone());
        command.arg(process.as_str()).arg(counter).arg(whole_milliseconds(*kept_for)).arg(restored);
        command
    }

    /// Returns the command that loads a page of the events above `after`. A part of a large event
    /// begins after `read` bytes.
    pub(super) fn load(&self, run: &RunId, after: u64, read: usize) -> Cmd {
        let mut command = self.call(Script::Load, &[self.scope.keys.stream(run)]);
        match after {
            0 => command.arg("-"),
            _ => command.arg(format!("{}-0", after.saturating_add(1))),
        };
        command.arg(PAGE_BYTES).arg(PAGE_ENTRIES).arg(read);
        command
    }

    /// Returns the keys of a run's claim and stream.
    pub(super) fn keys_of(&self, run: &RunId) -> [String; 2] {
        [self.scope.keys.claim(&run.key), self.scope.keys.stream(run)]
    }

    /// Returns this process and the time that the keys of a live run are kept, as script arguments.
    pub(super) fn owner(&self) -> (&str, u64) {
        (self.scope.process.as_str(), whole_milliseconds(self.scope.kept_for + LIVE))
    }

    pub(super) fn call(&self, script: Script, keys: &[String]) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(self.hashes.of(script)).arg(keys.len()).arg(keys);
        command
    }
}

/// Returns the run whose stream has this name. The inverse of [`Keys::stream`].
pub(super) fn run_of_stream(stream: &str) -> Option<RunId> {
    let (claim, epoch) = stream.rsplit_once("}:")?;
    let (_, tag) = claim.rsplit_once('{')?;
    let text = |part| percent_decode_str(part).decode_utf8().ok();
    let key = match tag.split_once(':') {
        Some((owner, name)) => RunKey::new(text(owner)?, text(name)?),
        None => RunKey::shared(text(tag)?),
    };
    Some(RunId::new(key.ok()?, Epoch::parse(epoch)?))
}

/// A capacity that is enough for most names.
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

    /// Returns whether the prefix has a hash tag, so that a cluster keeps all keys on one node.
    pub(super) fn has_tag(&self) -> bool {
        let tag = self.prefix.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        tag.is_some_and(|(tag, _)| !tag.is_empty())
    }

    pub(super) fn claim(&self, key: &RunKey) -> String {
        let mut text = String::with_capacity(CAPACITY);
        text.push_str(&self.prefix);
        text.push('{');
        // Both parts encode the separator, so no two keys have the same tag.
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

    /// Returns the key of the parts of a large event.
    pub(super) fn parts(&self, run: &RunId) -> String {
        self.stream(run) + ":parts"
    }

    /// Returns the key without which the server counts as one that has lost data.
    pub(super) fn data(&self) -> String {
        format!("{}data", self.prefix)
    }

    /// Returns the key of the processes that share runs.
    pub(super) fn processes(&self) -> String {
        format!("{}processes", self.prefix)
    }

    /// Returns the channel of hints to all processes.
    pub(super) fn everyone(&self) -> String {
        format!("{}ctl@{}", self.prefix, self.database)
    }

    /// Returns the channel of hints to a process, which is also the key of its live runs.
    pub(super) fn control(&self, process: &ProcessId) -> String {
        self.control_prefix() + process.as_str()
    }

    pub(super) fn control_prefix(&self) -> String {
        format!("{}ctl@{}:", self.prefix, self.database)
    }
}

/// A script with the functions that most scripts share.
///
/// Scripts with the flag `allow-oom` run even while Redis is out of memory: they add little, or are
/// needed to end, watch, find and load runs. Redis refuses all other scripts then, before they run,
/// so that none stops halfway.
macro_rules! script {
    ($flags:literal, $file:literal) => {
        concat!(
            "#!lua",
            $flags,
            "\n",
            include_str!("lua/version.lua"),
            include_str!("lua/common.lua"),
            include_str!(concat!("lua/", $file))
        )
    };
}

/// A script of the protocol, whose file in `lua/` documents its arguments and replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    Look,
    Claim,
    Replace,
    Sync,
    End,
    Check,
    Beat,
    Inherit,
    Load,
    Mark,
    Part,
    Join,
}

/// The texts of all scripts, in the order of the variants of [`Script`].
pub(super) const TEXTS: [&str; 12] = [
    script!(" flags=allow-oom", "claim.lua"), // Look
    script!("", "claim.lua"),                 // Claim
    script!("", "replace.lua"),
    script!(" flags=allow-oom", "sync.lua"),
    script!(" flags=allow-oom", "end.lua"),
    script!(" flags=allow-oom", "check.lua"),
    script!(" flags=allow-oom", "beat.lua"),
    concat!("#!lua flags=allow-oom\n", include_str!("lua/inherit.lua")),
    concat!("#!lua flags=allow-oom\n", include_str!("lua/load.lua")),
    concat!("#!lua\n", include_str!("lua/mark.lua")),
    concat!("#!lua\n", include_str!("lua/part.lua")),
    concat!("#!lua\n", include_str!("lua/join.lua")),
];

/// Returns the command that publishes. The nodes of a cluster pass each message of `PUBLISH` on to
/// all others, but those of `SPUBLISH` only to their replicas.
pub(super) const fn publish_name(is_cluster: bool) -> &'static str {
    if is_cluster { "SPUBLISH" } else { "PUBLISH" }
}

/// Returns the text of a script for a server.
pub(super) fn text_for(text: &str, is_cluster: bool) -> String {
    text.replace("'PUBLISH'", &format!("'{}'", publish_name(is_cluster)))
}

/// The hashes of the scripts, by which Redis calls them, in the order of [`TEXTS`].
#[derive(Clone, Debug, Default)]
pub(super) struct Hashes(pub(super) [String; TEXTS.len()]);

impl Hashes {
    pub(super) fn of(&self, script: Script) -> &str {
        self.0.get(script as usize).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tower_sse::runs::{__private::Epoch, RunKey};

    use super::{Keys, TEXTS, run_of_stream, text_for};
    use crate::runs::seam::{ProcessId, RunId};

    #[test]
    fn names_contain_the_prefix_the_tag_and_the_database() {
        let keys = Keys::new("app", 3);
        let run = RunId::new(RunKey::new("a:b", "c d}").unwrap(), Epoch::parse("k1").unwrap());
        assert_eq!(keys.claim(&run.key), "app:run:{a%3Ab:c%20d%7D}");
        assert_eq!(keys.stream(&run), "app:run:{a%3Ab:c%20d%7D}:k1");
        assert_eq!(run_of_stream(&keys.stream(&run)), Some(run.clone()));
        let shared = RunId::new(RunKey::shared("a{b}:c").unwrap(), run.epoch);
        assert_eq!(run_of_stream(&keys.stream(&shared)), Some(shared));
        assert_eq!(keys.channel(&run), "app:run:{a%3Ab:c%20d%7D}:k1@3");
        assert_eq!((keys.data(), keys.everyone()), ("app:run:data".into(), "app:run:ctl@3".into()));
        assert_eq!(keys.control(&ProcessId::from_claim("p1")), "app:run:ctl@3:p1");
    }

    #[test]
    fn only_text_in_braces_is_a_hash_tag() {
        for (prefix, has_tag) in
            [("{app}", true), ("a{pp}:{x", true), ("app", false), ("a{pp", false), ("{}{a}", false)]
        {
            assert_eq!(Keys::new(prefix, 0).has_tag(), has_tag, "{prefix}");
        }
        let run = RunId::new(RunKey::new("a", "b").unwrap(), Epoch::parse("k1").unwrap());
        assert_eq!(run_of_stream(&Keys::new("{app}", 0).stream(&run)), Some(run));
    }

    #[test]
    fn scripts_publish_only_to_shards_in_a_cluster() {
        let publishes = |text: &str, is_cluster| text_for(text, is_cluster).contains("'PUBLISH'");
        assert!(TEXTS.iter().any(|text| publishes(text, false)));
        assert!(!TEXTS.iter().any(|text| publishes(text, true)));
        assert_eq!(text_for(TEXTS[0], true).matches("'SPUBLISH'").count(), 3);
    }

    #[test]
    fn different_keys_have_different_names() {
        let keys = Keys::new("app", 0);
        let owned = |owner, name| keys.claim(&RunKey::new(owner, name).unwrap());
        let names = HashSet::from([
            owned("a", "b:c"),
            owned("a:b", "c"),
            owned("a%3Ab", "c"),
            keys.claim(&RunKey::shared("a:b:c").unwrap()),
            keys.claim(&RunKey::shared("ctl").unwrap()),
        ]);
        assert_eq!(names.len(), 5, "{names:?}");
    }
}
