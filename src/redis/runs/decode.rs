use std::time::Duration;

use ::redis::Value;

use super::{
    encode::reply_count,
    failure::{Class, Failure, check},
};
use crate::{
    history::Epoch,
    runs::{
        Outcome, RunKey,
        cluster::{
            command::{Command, EndMode},
            reply::{
                AppendReply, CheckReply, EndReply, Liveness, LookReply, RenewReply, Reply,
                SyncReply,
            },
            run_id::{ProcessId, RunId},
        },
    },
};

/// Decodes the replies to commands that were encoded together. Takes only their replies from
/// `replies`.
pub(super) fn decode(
    part: &[Command],
    replies: &mut impl Iterator<Item = Value>,
    results: &mut Vec<Result<Reply, Failure>>,
) {
    match part {
        [Command::Renew(_) | Command::Check(_), ..] => {
            match split(replies.next().unwrap_or(Value::Nil), part.len()) {
                Ok(replies) => {
                    let replies = part.iter().zip(replies);
                    results.extend(replies.map(|(command, reply)| decode_one(command, reply)));
                }
                Err(error) => results.extend(part.iter().map(|_| Err(error.clone()))),
            }
        }
        [command @ Command::Append(append)] => {
            let mut replies = replies.take(reply_count(command));
            // The last one counts the subscribers.
            let entries = reply_count(command) - usize::from(append.pushes);
            results.push(decode_append(replies.by_ref().take(entries)));
            replies.for_each(drop);
        }
        [command] => results.push(decode_one(command, replies.next().unwrap_or(Value::Nil))),
        _ => results.extend(part.iter().map(|_| Err(Failure::unexpected()))),
    }
}

/// Returns the parts of a reply to `count` commands.
fn split(reply: Value, count: usize) -> Result<Vec<Value>, Failure> {
    match check(reply)? {
        Value::Array(replies) if replies.len() == count => Ok(replies),
        _ => Err(Failure::unexpected()),
    }
}

fn decode_renewal(reply: &Value) -> Option<RenewReply> {
    Some(match reply {
        Value::Int(-1) => RenewReply::Unsure,
        reply => RenewReply::Renewed { watched: Duration::from_millis(number(reply)?) },
    })
}

fn decode_one(command: &Command, reply: Value) -> Result<Reply, Failure> {
    if let Command::Trim(_) = command {
        let entries = number(&check(reply)?).ok_or_else(Failure::unexpected)?;
        return Ok(Reply::Trim { entries });
    }
    if let Command::Renew(_) = command {
        let reply = decode_renewal(&check(reply)?).ok_or_else(Failure::unexpected)?;
        return Ok(Reply::Renew(reply));
    }
    let fields = Fields::of(check(reply)?)?;
    if fields.status() == "version" {
        return Err(Failure::version());
    }
    let reply = match command {
        Command::Look(key) | Command::Claim { run: RunId { key, .. }, .. } => {
            fields.look(key).map(Reply::Look)
        }
        Command::Sync(_) => fields.sync().map(Reply::Sync),
        Command::End(end) => fields.end(&end.mode).map(Reply::End),
        Command::Check(_) => fields.check().map(Reply::Check),
        Command::Renew(_) | Command::Append(_) | Command::Trim(_) => None,
    };
    reply.ok_or_else(Failure::unexpected)
}

/// Reads the replies to the entries of a batch. The first one is that to the batch itself.
fn decode_append(replies: impl Iterator<Item = Value>) -> Result<Reply, Failure> {
    let mut entries = 0;
    for (at, reply) in replies.enumerate() {
        match check(reply) {
            Ok(Value::Nil) if at == 0 => return Ok(Reply::Append(AppendReply::Refused)),
            Ok(Value::Nil) => {}
            Ok(_) => entries += 1,
            // The id is not the highest, or the key has another type: a `Sync` finds out.
            Err(failure) if failure.class == Class::Run && at == 0 => {
                return Ok(Reply::Append(AppendReply::Refused));
            }
            // The run was ended between the batch and the entry behind it.
            Err(_) if at > 0 => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(Reply::Append(AppendReply::Appended { entries }))
}

/// The reply of a script: a status and its fields.
struct Fields(Vec<Value>);

impl Fields {
    fn of(reply: Value) -> Result<Self, Failure> {
        match reply {
            Value::Array(fields) => Ok(Self(fields)),
            _ => Err(Failure::unexpected()),
        }
    }

    fn status(&self) -> &str {
        self.text(0).unwrap_or_default()
    }

    fn look(&self, key: &RunKey) -> Option<LookReply> {
        let run = || {
            let epoch = Epoch::parse(self.text(1)?)?;
            Some((RunId::new(key.clone(), epoch), ProcessId::from_claim(self.text(2)?)))
        };
        Some(match self.status() {
            "free" => LookReply::Free,
            "restoring" => LookReply::Restoring,
            "new" => LookReply::Claimed,
            "again" => LookReply::Changed,
            "ended" => {
                let (run, _) = run()?;
                let outcome = outcome(self.text(3)?);
                LookReply::Ended { run, outcome, is_certain: self.text(4).is_none() }
            }
            status => {
                let (run, process) = run()?;
                LookReply::Live { run, process, liveness: self.liveness(status, 4)? }
            }
        })
    }

    fn sync(&self) -> Option<SyncReply> {
        Some(match self.status() {
            "ok" => SyncReply::InStep {
                newest: self.number(1)?,
                entries: self.number(2)?,
                watched: Duration::from_millis(self.number(3)?),
            },
            "behind" => SyncReply::Behind,
            "gone" => SyncReply::Gone,
            "over" => SyncReply::Over(outcome(self.text(1)?)),
            "other" => SyncReply::Other,
            _ => return None,
        })
    }

    fn end(&self, mode: &EndMode) -> Option<EndReply> {
        Some(match self.status() {
            "ended" if matches!(mode, EndMode::Void | EndMode::Release | EndMode::Forget) => {
                EndReply::Freed
            }
            "ended" => EndReply::Ended { outcome: outcome(self.text(1)?), newest: self.number(2)? },
            "over" => EndReply::Over(outcome(self.text(1)?)),
            "running" => EndReply::Running,
            "behind" => EndReply::Behind,
            "other" => EndReply::Other,
            "gone" => EndReply::Gone,
            status => EndReply::NotDead(self.liveness(status, 2)?),
        })
    }

    fn check(&self) -> Option<CheckReply> {
        let newest = self.number(1)?;
        Some(match self.status() {
            "starting" => CheckReply::Starting(self.liveness(self.text(2)?, 3)?),
            "running" => {
                let liveness = self.liveness(self.text(2)?, 3)?;
                let head = self.bytes(4).filter(|head| !head.is_empty());
                let head = head.map(|head| head.to_vec().into());
                CheckReply::Running { newest, liveness, head }
            }
            "void" => CheckReply::Void,
            "other" => CheckReply::Other,
            "gone" => CheckReply::Gone,
            ended => CheckReply::Ended { newest, outcome: outcome(ended) },
        })
    }

    fn liveness(&self, status: &str, wait: usize) -> Option<Liveness> {
        match status {
            "live" => Some(Liveness::Alive),
            "late" => Some(Liveness::Late(Duration::from_millis(self.number(wait)?))),
            "dead" => Some(Liveness::Dead),
            _ => None,
        }
    }

    fn bytes(&self, at: usize) -> Option<&[u8]> {
        match self.0.get(at)? {
            Value::BulkString(bytes) => Some(bytes),
            Value::SimpleString(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    fn text(&self, at: usize) -> Option<&str> {
        std::str::from_utf8(self.bytes(at)?).ok()
    }

    fn number(&self, at: usize) -> Option<u64> {
        number(self.0.get(at)?)
    }
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// Returns the outcome with this name. One that only a later version has is an interruption.
pub(super) fn outcome(name: &str) -> Outcome {
    let mut all = Outcome::ALL.into_iter();
    all.find(|outcome| outcome.as_str() == name).unwrap_or(Outcome::Interrupted)
}
