use std::{fmt::Write as _, io::Write as _, slice, time::Duration};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use redis::{Cmd, Pipeline, cmd};
use tower_sse::runs::{__private::Epoch, RunKey};

use super::beats::NextBeat;
use crate::runs::seam::{
    Append, Batch, Check, Command, DeadProcess, End, EndMode, Keep, ProcessId, RunId, Sync, Trim,
};
use crate::server::whole_milliseconds;

/// The values that all commands of a process need.
pub(super) struct Scope {
    pub(super) keys: Keys,
    pub(super) process: ProcessId,
    pub(super) lease: Duration,
    /// The time that the keys of a run are kept.
    pub(super) kept_for: Duration,
}

/// An upper bound on the size of a command without its keys and events.
const SPARE: usize = 64;

/// The maximum number of runs whose keys one command looks for.
const MAX_KEEPS: usize = 64;
/// The maximum number of runs that one command checks.
const MAX_CHECKS: usize = 32;

/// The maximum size of a page, a push, and a batch of several events. Larger events are loaded in
/// parts.
const PAGE_BYTES: usize = 64 * 1024;
/// The maximum number of entries of a page, which takes Redis up to half a millisecond.
const PAGE_ENTRIES: usize = 256;

/// Writes commands of the store as Redis commands.
pub(super) struct Encoder<'a> {
    pub(super) scope: &'a Scope,
    pub(super) hashes: &'a Hashes,
    /// Whether the server is a node of a cluster.
    pub(super) is_cluster: bool,
}

impl Encoder<'_> {
    /// Adds the Redis commands for one of the [`parts`] to `pipeline`.
    pub(super) fn encode(&self, part: &[Command], pipeline: &mut Pipeline) {
        let (Some(command), keys) = (part.first(), &self.scope.keys) else { return };
        pipeline.add_command(match command {
            Command::Look(key) => self.claim(Script::Look, key, ""),
            Command::Claim { run, earlier: None } => {
                self.claim(Script::Claim, &run.key, &run.epoch.to_string())
            }
            Command::Claim { run, earlier: Some(earlier) } => self.replace(run, earlier),
            Command::Sync(sync) => self.sync(sync),
            Command::Keep(_) => return self.keep(part, pipeline),
            Command::Append(append) => return self.append(append, pipeline),
            Command::Trim(trim) => self.trim(trim),
            Command::End(end) => self.end(end),
            Command::Check(_) => self.check(part),
            Command::Inherit(dead) => self.inherit(dead),
            Command::Reported(process, run) => {
                cmd("HDEL").arg(keys.control(process)).arg(keys.stream(run)).clone()
            }
        });
    }

    /// Returns the command that shows that this process lives. The process repeats the command at
    /// intervals. `server` is the id of this server, and `earlier` that of the previous server.
    pub(super) fn beat(&self, server: &str, earlier: Option<&str>, beat: &NextBeat) -> Cmd {
        let Scope { keys, process, kept_for, .. } = self.scope;
        let mut command =
            self.call(Script::Beat, &[keys.data(), keys.processes(), keys.control(process)]);
        command.arg(server).arg(earlier.unwrap_or_default());
        command.arg(whole_milliseconds(self.scope.lease)).arg(keys.everyone());
        command.arg(process.as_str()).arg(&beat.counter).arg(whole_milliseconds(*kept_for));
        command.arg(&beat.restored);
        command
    }

    fn inherit(&self, DeadProcess { id, seen }: &DeadProcess) -> Cmd {
        let Scope { keys, process, .. } = self.scope;
        let mut command = self.call(Script::Inherit, &[keys.control(id), keys.processes()]);
        command.arg(id.as_str()).arg(process.as_str()).arg(seen);
        command
    }

    /// Returns the command that loads a page of the events above `after`. A part of a large event
    /// begins after this number of bytes.
    pub(super) fn load(&self, run: &RunId, after: u64, read: usize) -> Cmd {
        let mut command = self.call(Script::Load, &[self.scope.keys.stream(run)]);
        match after {
            0 => command.arg("-"),
            _ => command.arg(format!("{}-0", after.saturating_add(1))),
        };
        command.arg(PAGE_BYTES).arg(PAGE_ENTRIES).arg(read);
        command
    }

    fn claim(&self, script: Script, key: &RunKey, epoch: &str) -> Cmd {
        let Scope { keys, process, .. } = self.scope;
        let mut names = vec![keys.claim(key), keys.data()];
        names.extend((script == Script::Claim).then(|| keys.control(process)));
        let mut command = self.call(script, &names);
        let (process, ttl) = self.owner();
        command.arg(epoch).arg(process).arg(whole_milliseconds(self.scope.lease)).arg(ttl);
        command.arg(keys.everyone()).arg(keys.control_prefix());
        command
    }

    fn replace(&self, run: &RunId, earlier: &RunId) -> Cmd {
        let Scope { keys, process, .. } = self.scope;
        let [claim, stream] = [keys.claim(&run.key), keys.stream(earlier)];
        let names = [claim, stream, keys.control(process), keys.processes()];
        let mut command = self.call(Script::Replace, &names);
        command.arg(earlier.epoch.to_string()).arg(run.epoch.to_string()).arg(self.owner());
        command.arg(keys.channel(earlier)).arg(keys.control_prefix());
        command
    }

    fn sync(&self, Sync { run, entries, restores, is_watched, head }: &Sync) -> Cmd {
        let Scope { keys, process, .. } = self.scope;
        let [claim, stream] = self.keys_of(run);
        let mut command = self.call(Script::Sync, &[claim, stream, keys.control(process)]);
        command.arg(run.epoch.to_string()).arg(self.owner());
        command.arg(optional(*entries)).arg(*restores).arg(head.as_deref().unwrap_or_default());
        command.arg(keys.channel(run)).arg(*is_watched);
        command
    }

    fn keep(&self, part: &[Command], pipeline: &mut Pipeline) {
        let keys = keeps(part).flat_map(|keep| {
            self.keys_of(&keep.run).into_iter().take(1 + usize::from(keep.has_stream))
        });
        pipeline.cmd("EXISTS").arg(keys.collect::<Vec<_>>());
        let ttl = whole_milliseconds(self.scope.kept_for);
        for Keep { run, .. } in keeps(part).filter(|keep| keep.extends) {
            let keys = self.keys_of(run);
            pipeline.cmd("HMGET").arg(&keys[0]).arg("e").arg("c");
            for key in keys {
                pipeline.cmd("PEXPIRE").arg(key).arg(ttl);
            }
        }
    }

    fn append(&self, append: &Append, pipeline: &mut Pipeline) {
        let Append { run, batch, follows, entries, pushes } = append;
        let Batch { first, last, bytes } = batch;
        let stream = self.scope.keys.stream(run);
        let mut add;
        if *follows {
            add = sized("EVALSHA", 8, stream.len() + bytes.len());
            add.arg(self.hashes.of(Script::Append)).arg(1).arg(&stream).arg(entries);
        } else {
            add = sized("XADD", 8, stream.len() + bytes.len());
            add.arg(&stream).arg("NOMKSTREAM");
        }
        add.arg(format!("{last}-0")).arg("f").arg(first).arg("d").arg(&**bytes);
        pipeline.add_command(add);
        if batch.is_large() {
            let mut mark = self.call(Script::Mark, slice::from_ref(&stream));
            mark.arg(format!("{last}-1")).arg(entries + 1);
            pipeline.add_command(mark);
        }
        if *pushes {
            let mut push = Vec::with_capacity(bytes.len() + SPARE);
            if bytes.len() > PAGE_BYTES {
                // Other processes load it, and later pushes do not wait for it.
                _ = write!(push, "n{last}");
            } else {
                _ = write!(push, "d{first} {last} ");
                push.extend_from_slice(bytes);
            }
            let mut publish = sized(publish_name(self.is_cluster), 3, stream.len() + push.len());
            publish.arg(self.scope.keys.channel_of(stream)).arg(push);
            pipeline.add_command(publish);
        }
    }

    fn trim(&self, Trim { run, keep_from }: &Trim) -> Cmd {
        let stream = self.scope.keys.stream(run);
        cmd("XTRIM").arg(stream).arg("MINID").arg(format!("{keep_from}-0")).clone()
    }

    fn end(&self, End { run, mode }: &End) -> Cmd {
        let (name, outcome) = match mode {
            EndMode::Own { outcome, .. } => ("own", outcome.as_str()),
            EndMode::Lost => ("lost", "interrupted"),
            EndMode::Cancel { .. } => ("cancel", "cancelled"),
            EndMode::Bury { .. } => ("bury", "interrupted"),
            EndMode::Void => ("void", "void"),
            EndMode::Release => ("orphan", "interrupted"),
            EndMode::Forget => ("forget", ""),
            EndMode::Discard => ("discard", ""),
        };
        let (error, newest, entries) = match mode {
            EndMode::Own { error, newest, entries, .. } => (error.as_deref(), *newest, *entries),
            _ => (None, 0, None),
        };
        let Scope { keys, process, kept_for, lease } = self.scope;
        let [claim, stream] = self.keys_of(run);
        let owner = if let EndMode::Bury { owner } = mode { owner } else { process };
        let names = [claim, stream, keys.control(owner), keys.processes()];
        let mut command = self.call(Script::End, &names);
        command.arg(run.epoch.to_string()).arg(name).arg(outcome).arg(error.unwrap_or_default());
        command.arg(newest).arg(optional(entries)).arg(process.as_str());
        command.arg(whole_milliseconds(*kept_for)).arg(whole_milliseconds(*lease * 2));
        command.arg(keys.channel(run)).arg(keys.control_prefix());
        match mode {
            EndMode::Cancel { lines: Some(lines) } => _ = command.arg(&**lines),
            EndMode::Bury { owner } => _ = command.arg(owner.as_str()),
            _ => {}
        }
        command
    }

    fn check(&self, part: &[Command]) -> Cmd {
        let checks = part.iter().filter_map(|command| match command {
            Command::Check(check) => Some(check),
            _ => None,
        });
        let keys: Vec<_> = checks.clone().flat_map(|check| self.keys_of(&check.run)).collect();
        let mut command = self.call(Script::Check, &keys);
        command.arg(whole_milliseconds(self.scope.kept_for)).arg(self.scope.keys.control_prefix());
        for Check { run, is_watched, wants_head } in checks {
            command.arg(run.epoch.to_string()).arg(*is_watched);
            command.arg(*wants_head).arg(self.scope.keys.channel(run));
        }
        command
    }

    /// Returns the keys of a run's claim and stream.
    fn keys_of(&self, run: &RunId) -> [String; 2] {
        [self.scope.keys.claim(&run.key), self.scope.keys.stream(run)]
    }

    /// Returns this process and the time that keys are kept, as script arguments.
    fn owner(&self) -> (&str, u64) {
        (self.scope.process.as_str(), whole_milliseconds(self.scope.kept_for))
    }

    fn call(&self, script: Script, keys: &[String]) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(self.hashes.of(script)).arg(keys.len()).arg(keys);
        command
    }
}

/// Returns a command with space for this number of arguments, the longest with `len` bytes.
fn sized(name: &str, arguments: usize, len: usize) -> Cmd {
    let mut command = Cmd::with_capacity(arguments, len + SPARE);
    command.arg(name);
    command
}

/// Returns the inputs of consecutive [`Command::Keep`]s.
pub(super) fn keeps(part: &[Command]) -> impl Iterator<Item = &Keep> {
    part.iter().filter_map(|command| match command {
        Command::Keep(keep) => Some(keep),
        _ => None,
    })
}

/// Splits commands into parts that are each encoded together: consecutive looks of an owner,
/// consecutive checks, or one other command.
pub(super) fn parts(commands: &[Command]) -> impl Iterator<Item = &[Command]> {
    let parts = commands.chunk_by(|one, next| {
        matches!(
            (one, next),
            (Command::Keep(_), Command::Keep(_)) | (Command::Check(_), Command::Check(_))
        )
    });
    parts.flat_map(|part| match part.first() {
        Some(Command::Check(_)) => part.chunks(MAX_CHECKS),
        _ => part.chunks(MAX_KEEPS),
    })
}

/// Returns the run with a stream of this name, which [`Keys::stream`] has returned.
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

fn optional(number: Option<u64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
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

    /// Returns the key that is missing only if the server has lost its data.
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
/// Scripts with the flag `allow-oom` run even while Redis is out of memory. They add few bytes, or
/// a run's last event, and end, watch, find and load runs. Redis refuses all other scripts then,
/// before they run, so that none stops halfway.
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
    Append,
    Mark,
}

/// The texts of all scripts, in the order of the variants of [`Script`].
pub(super) const TEXTS: [&str; 11] = [
    script!(" flags=allow-oom", "claim.lua"), // Look
    script!("", "claim.lua"),                 // Claim
    script!("", "replace.lua"),
    script!(" flags=allow-oom", "sync.lua"),
    script!(" flags=allow-oom", "end.lua"),
    script!(" flags=allow-oom", "check.lua"),
    script!(" flags=allow-oom", "beat.lua"),
    concat!("#!lua flags=allow-oom\n", include_str!("lua/inherit.lua")),
    concat!("#!lua flags=allow-oom\n", include_str!("lua/load.lua")),
    concat!("#!lua\n", include_str!("lua/append.lua")),
    concat!("#!lua\n", include_str!("lua/mark.lua")),
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
