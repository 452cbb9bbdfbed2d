use std::time::Duration;

use bytes::Bytes;
use redis::Value;
use tower_sse::runs::{Outcome, RunKey, support::Epoch};

use super::{encode::has_marker, failure::check};
use crate::runs::seam::{
    command::{Append, Batch, Command},
    reply::{
        AppendReply, CheckReply, EndReply, Failure, Liveness, LookReply, RenewReply, Reply,
        SyncReply,
    },
    run_id::{ProcessId, RunId},
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
                Err(error) => results.extend(part.iter().map(|_| Err(error))),
            }
        }
        [Command::Append(Append { batch, pushes, .. })] => {
            let mut next = || replies.next().unwrap_or(Value::Nil);
            let (batch, marker) = (next(), has_marker(batch.bytes.len()).then(&mut next));
            if *pushes {
                // The reply to `PUBLISH`: the number of subscribers.
                _ = next();
            }
            results.push(decode_append(batch, marker.as_ref()));
        }
        [command] => results.push(decode_one(command, replies.next().unwrap_or(Value::Nil))),
        _ => results.extend(part.iter().map(|_| Err(Failure::Run))),
    }
}

/// Returns the parts of a reply to `count` commands.
fn split(reply: Value, count: usize) -> Result<Vec<Value>, Failure> {
    match check(reply)? {
        Value::Array(replies) if replies.len() == count => Ok(replies),
        _ => Err(Failure::Run),
    }
}

fn decode_one(command: &Command, reply: Value) -> Result<Reply, Failure> {
    let reply = match (command, &check(reply)?) {
        (Command::Trim(_), reply) => number(reply).map(|entries| Reply::Trim { entries }),
        (Command::Renew(_), Value::Int(-1)) => Some(Reply::Renew(RenewReply::Unsure)),
        (Command::Renew(_), reply) => {
            milliseconds(reply).map(|watched| Reply::Renew(RenewReply::Renewed { watched }))
        }
        (command, Value::Array(fields)) => {
            let fields = Fields(fields);
            match command {
                _ if fields.status() == "version" => return Err(Failure::Version),
                Command::Look(key) | Command::Claim { run: RunId { key, .. }, .. } => {
                    fields.look(key).map(Reply::Look)
                }
                Command::Sync(_) => fields.sync().map(Reply::Sync),
                Command::End(_) => fields.end().map(Reply::End),
                Command::Check(_) => fields.check().map(Reply::Check),
                Command::Renew(_) | Command::Append(_) | Command::Trim(_) => None,
            }
        }
        _ => None,
    };
    reply.ok_or(Failure::Run)
}

/// Reads the replies to a batch and to the marker behind it, if it has one.
fn decode_append(batch: Value, marker: Option<&Value>) -> Result<Reply, Failure> {
    Ok(Reply::Append(match check(batch) {
        // The id is not the highest, or the key has another type: a `Sync` finds out which.
        Ok(Value::Nil) | Err(Failure::Run | Failure::Stopped) => AppendReply::Refused,
        // There is no marker if the run was ended between the two commands.
        Ok(_) => {
            let has_marker = matches!(marker, Some(Value::BulkString(_)));
            AppendReply::Appended { entries: 1 + u64::from(has_marker) }
        }
        Err(failure) => return Err(failure),
    }))
}

/// The reply of a script: a status and its fields.
struct Fields<'a>(&'a [Value]);

impl Fields<'_> {
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
                watched: milliseconds(self.0.get(3)?)?,
            },
            "behind" => SyncReply::Behind,
            "gone" => SyncReply::Gone,
            status @ ("over" | "replaced") => SyncReply::Over {
                outcome: outcome(self.text(1)?),
                event: self.batch(2),
                is_replaced: status == "replaced",
            },
            "other" => SyncReply::Other,
            _ => return None,
        })
    }

    fn end(&self) -> Option<EndReply> {
        Some(match self.status() {
            "ended" if matches!(self.text(1)?, "void" | "forgotten") => EndReply::Freed,
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
                CheckReply::Running { newest, liveness, head: self.head(4) }
            }
            "void" => CheckReply::Void,
            "other" => CheckReply::Other { newest, head: self.head(2) },
            "gone" => CheckReply::Gone,
            ended => CheckReply::Ended { newest, outcome: outcome(ended), head: self.head(2) },
        })
    }

    fn batch(&self, at: usize) -> Option<Batch> {
        let (first, last) = (self.number(at)?, self.number(at + 1)?);
        Some(Batch { first, last, bytes: self.bytes(at + 2)?.to_vec().into() })
    }

    fn head(&self, at: usize) -> Option<Bytes> {
        self.bytes(at).filter(|head| !head.is_empty()).map(|head| head.to_vec().into())
    }

    fn liveness(&self, status: &str, wait: usize) -> Option<Liveness> {
        match status {
            "live" => Some(Liveness::Alive),
            "late" => Some(Liveness::Late(milliseconds(self.0.get(wait)?)?)),
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

fn milliseconds(value: &Value) -> Option<Duration> {
    number(value).map(Duration::from_millis)
}

/// Returns the outcome with this name. An outcome of a later version counts as an interruption.
pub(super) fn outcome(name: &str) -> Outcome {
    let mut all = Outcome::ALL.into_iter();
    all.find(|outcome| outcome.as_str() == name).unwrap_or(Outcome::Interrupted)
}
