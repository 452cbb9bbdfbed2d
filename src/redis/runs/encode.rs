use std::{io::Write, time::Duration};

use ::redis::{Cmd, cmd};

use super::{
    keys::Keys,
    script::{Hashes, Script},
};
use crate::{
    event::whole_milliseconds,
    runs::cluster::{
        command::{Append, Batch, Check, Command, End, EndMode, Renew, Sync, Trim},
        run_id::{ProcessId, RunId},
    },
};

/// The number of bytes from which a batch is followed by an empty entry, which scripts read in its
/// place.
const LARGE_BATCH: usize = 4 * 1024;

/// More than the bytes of a command besides its keys and its events.
const SPARE: usize = 64;

/// The maximum number of runs whose leases one command renews. Redis takes up to half a
/// millisecond for it.
const MAX_RENEWALS: usize = 64;
/// The maximum number of runs that one command checks.
const MAX_CHECKS: usize = 32;

/// Writes commands of the store as commands of Redis.
pub(super) struct Encoder<'a> {
    pub(super) keys: &'a Keys,
    pub(super) hashes: &'a Hashes,
    pub(super) process: &'a ProcessId,
    pub(super) lease: Duration,
    /// The time that the keys of a run are kept.
    pub(super) kept_for: Duration,
    /// Whether the connection is so new that owners may not have renewed their leases since.
    pub(super) is_new: bool,
}

impl Encoder<'_> {
    /// Appends the commands of Redis for one of the [`parts`] to `commands`.
    pub(super) fn encode(&self, part: &[Command], commands: &mut Vec<Cmd>) {
        let Some(command) = part.first() else { return };
        commands.push(match command {
            Command::Look(key) => self.claim(Script::Look, &self.keys.claim(key), ""),
            Command::Claim { run, earlier: None } => {
                self.claim(Script::Claim, &self.keys.claim(&run.key), &run.epoch.to_string())
            }
            Command::Claim { run, earlier: Some(earlier) } => self.replace(run, earlier),
            Command::Sync(sync) => self.sync(sync),
            Command::Renew(_) => self.renew(part),
            Command::Append(append) => return self.append(append, commands),
            Command::Trim(trim) => self.trim(trim),
            Command::End(end) => self.end(end),
            Command::Check(_) => self.check(part),
        });
    }

    fn claim(&self, script: Script, key: &str, epoch: &str) -> Cmd {
        let mut command = self.call(script, &[key, &*self.keys.data()]);
        command.arg(epoch).arg(self.process.as_str());
        command
            .arg(whole_milliseconds(self.lease))
            .arg(whole_milliseconds(self.kept_for))
            .arg(self.is_new());
        command.arg(self.keys.everyone());
        command
    }

    fn replace(&self, run: &RunId, earlier: &RunId) -> Cmd {
        let keys = [self.keys.claim(&run.key), self.keys.stream(earlier)];
        let mut command = self.call(Script::Replace, &keys);
        command.arg(earlier.epoch.to_string()).arg(run.epoch.to_string());
        command.arg(self.process.as_str());
        command.arg(whole_milliseconds(self.lease)).arg(whole_milliseconds(self.kept_for));
        command.arg(self.keys.channel(earlier)).arg(self.keys.control_prefix());
        command
    }

    fn sync(&self, Sync { run, entries, restores, pushes, head }: &Sync) -> Cmd {
        let mut command = self.call_on(Script::Sync, run);
        command.arg(run.epoch.to_string()).arg(self.process.as_str());
        command.arg(whole_milliseconds(self.lease)).arg(whole_milliseconds(self.kept_for));
        command.arg(optional(*entries)).arg(u8::from(*restores));
        command.arg(head.as_deref().unwrap_or_default()).arg(self.keys.channel(run));
        command.arg(u8::from(*pushes));
        command
    }

    fn renew(&self, part: &[Command]) -> Cmd {
        let renewals = part.iter().filter_map(|command| match command {
            Command::Renew(renew) => Some(renew),
            _ => None,
        });
        let mut keys = Vec::with_capacity(part.len());
        for Renew { run, entries } in renewals.clone() {
            keys.push(self.keys.claim(&run.key));
            keys.extend(entries.map(|_| self.keys.stream(run)));
        }
        let mut command = self.call(Script::Renew, &keys);
        command.arg(self.process.as_str());
        command.arg(whole_milliseconds(self.lease)).arg(whole_milliseconds(self.kept_for));
        for Renew { run, entries } in renewals {
            command.arg(run.epoch.to_string()).arg(optional(*entries));
        }
        command
    }

    fn append(&self, Append { run, batch, pushes }: &Append, commands: &mut Vec<Cmd>) {
        let Batch { first, last, bytes } = batch;
        let stream = self.keys.stream(run);
        let mut add = sized("XADD", 8, stream.len() + bytes.len());
        add.arg(&stream).arg("NOMKSTREAM").arg(format!("{last}-0"));
        add.arg("f").arg(first).arg("d").arg(&**bytes);
        commands.push(add);
        if has_marker(bytes.len()) {
            let mut marker = sized("XADD", 6, stream.len());
            marker.arg(&stream).arg("NOMKSTREAM").arg(format!("{last}-1")).arg("").arg("");
            commands.push(marker);
        }
        if *pushes {
            let mut push = Vec::with_capacity(bytes.len() + SPARE);
            _ = write!(push, "d{first} {last} ");
            push.extend_from_slice(bytes);
            let mut publish = sized("PUBLISH", 3, stream.len() + push.len());
            publish.arg(self.keys.channel_of(stream)).arg(push);
            commands.push(publish);
        }
    }

    fn trim(&self, Trim { run, keep_from }: &Trim) -> Cmd {
        let mut command = cmd("XTRIM");
        command.arg(self.keys.stream(run)).arg("MINID").arg(format!("{keep_from}-0"));
        command
    }

    fn end(&self, End { run, mode }: &End) -> Cmd {
        let (name, outcome) = match mode {
            EndMode::Own { outcome, .. } => ("own", outcome.as_str()),
            EndMode::Lost => ("lost", "interrupted"),
            EndMode::Cancel => ("cancel", "cancelled"),
            EndMode::Bury => ("bury", "interrupted"),
            EndMode::Void => ("void", "void"),
            EndMode::Release => ("orphan", "interrupted"),
            EndMode::Forget => ("forget", ""),
        };
        let (error, newest, entries) = match mode {
            EndMode::Own { error, newest, entries, .. } => (error.as_deref(), *newest, *entries),
            _ => (None, 0, None),
        };
        let mut command = self.call_on(Script::End, run);
        command.arg(run.epoch.to_string()).arg(name).arg(outcome).arg(error.unwrap_or_default());
        command.arg(newest).arg(optional(entries)).arg(self.process.as_str());
        command.arg(whole_milliseconds(self.kept_for)).arg(self.is_new());
        command.arg(self.keys.channel(run)).arg(self.keys.control_prefix());
        command
    }

    fn check(&self, part: &[Command]) -> Cmd {
        let checks = part.iter().filter_map(|command| match command {
            Command::Check(check) => Some(check),
            _ => None,
        });
        let keys: Vec<_> = checks.clone().flat_map(|check| self.keys_of(&check.run)).collect();
        let mut command = self.call(Script::Check, &keys);
        command.arg(self.is_new()).arg(whole_milliseconds(self.kept_for));
        command.arg(self.keys.control_prefix());
        for Check { run, is_watched, wants_head } in checks {
            // Each owner cuts it to what its own lease allows.
            let watch = if *is_watched { whole_milliseconds(self.lease * 3 / 4) } else { 0 };
            command.arg(run.epoch.to_string()).arg(watch);
            command.arg(u8::from(*wants_head)).arg(self.keys.channel(run));
        }
        command
    }

    fn call_on(&self, script: Script, run: &RunId) -> Cmd {
        self.call(script, &self.keys_of(run))
    }

    /// Returns the claim and the stream of a run.
    fn keys_of(&self, run: &RunId) -> [String; 2] {
        [self.keys.claim(&run.key), self.keys.stream(run)]
    }

    fn call(&self, script: Script, keys: &[impl AsRef<str>]) -> Cmd {
        call(self.hashes, script, keys)
    }

    fn is_new(&self) -> u8 {
        u8::from(self.is_new)
    }
}

/// Returns the command by which a process joins those that use a server. `server` is its id, and
/// `earlier` that of the process' connection before.
pub(super) fn join(
    keys: &Keys,
    hashes: &Hashes,
    lease: Duration,
    server: &str,
    earlier: Option<&str>,
) -> Cmd {
    let mut command = call(hashes, Script::Join, &[keys.data()]);
    command.arg(server).arg(earlier.unwrap_or_default());
    command.arg(whole_milliseconds(lease)).arg(keys.everyone());
    command
}

/// Returns a command with space for its arguments, the longest of which have `len` bytes.
fn sized(name: &str, arguments: usize, len: usize) -> Cmd {
    let mut command = Cmd::with_capacity(arguments, len + SPARE);
    command.arg(name);
    command
}

fn call(hashes: &Hashes, script: Script, keys: &[impl AsRef<str>]) -> Cmd {
    let mut command = cmd("EVALSHA");
    command.arg(hashes.of(script)).arg(keys.len());
    for key in keys {
        command.arg(key.as_ref());
    }
    command
}

/// Returns whether an empty entry follows a batch of this size.
pub(super) const fn has_marker(bytes: usize) -> bool {
    bytes > LARGE_BATCH
}

/// Splits commands into parts that are each encoded together: renewals that follow each other,
/// checks that do, or one other command.
pub(super) fn parts(commands: &[Command]) -> impl Iterator<Item = &[Command]> {
    let parts = commands.chunk_by(|one, next| {
        matches!(
            (one, next),
            (Command::Renew(_), Command::Renew(_)) | (Command::Check(_), Command::Check(_))
        )
    });
    parts.flat_map(|part| match part.first() {
        Some(Command::Check(_)) => part.chunks(MAX_CHECKS),
        _ => part.chunks(MAX_RENEWALS),
    })
}

/// Returns the number of replies to a command. Commands that are encoded together have only one.
pub(super) fn reply_count(command: &Command) -> usize {
    match command {
        Command::Append(Append { batch, pushes, .. }) => {
            1 + usize::from(has_marker(batch.bytes.len())) + usize::from(*pushes)
        }
        _ => 1,
    }
}

fn optional(number: Option<u64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}
