use std::str;

use bytes::Bytes;
use redis::{Value, from_redis_value};
use tower_sse::runs::{__private::Epoch, Outcome, RunKey, RunsStats};

use crate::broker::RawEntry;
use crate::runs::seam::{
    Batch, CheckReply, EndReply, Failure, LookReply, Page, ProcessId, Push, RunId, RunState,
    StoredEnd, SyncReply,
};

pub(super) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// Reads the reply of a call with one script.
pub(super) fn script<T>(
    read: impl Fn(&Fields) -> Option<T>,
) -> impl Fn(Vec<Value>) -> Result<T, Failure> {
    move |replies| read(&Fields::of(first(replies)?)?).ok_or(Failure::Run)
}

/// Returns the first reply, or its failure.
pub(super) fn first(replies: Vec<Value>) -> Result<Value, Failure> {
    check(replies.into_iter().next().unwrap_or(Value::Nil))
}

/// Reads each reply. Fails if the commands have to be sent again, or over another connection.
pub(super) fn each<T>(
    replies: Vec<Value>,
    read: impl Fn(Value) -> Result<T, Failure>,
) -> Result<Vec<Result<T, Failure>>, Failure> {
    let read: Vec<_> = replies.into_iter().map(read).collect();
    let failed = read.iter().find_map(|reply| match reply {
        Err(failure @ (Failure::NoScript | Failure::WrongServer)) => Some(*failure),
        _ => None,
    });
    failed.map_or(Ok(read), Err)
}

/// The fields of a script's reply. Most replies begin with a status.
pub(super) struct Fields(pub(super) Vec<Value>);

impl Fields {
    pub(super) fn of(reply: Value) -> Result<Self, Failure> {
        match check(reply)? {
            Value::Array(fields) => {
                let fields = Self(fields);
                if fields.status() == "version" { Err(Failure::Version) } else { Ok(fields) }
            }
            _ => Err(Failure::Run),
        }
    }

    pub(super) fn look(&self, key: &RunKey) -> Option<LookReply> {
        Some(match self.status() {
            "free" => LookReply::Free,
            "restoring" => LookReply::Restoring,
            "new" => LookReply::Claimed,
            "again" => LookReply::Changed,
            status @ ("live" | "ended") => LookReply::Run {
                run: RunId::new(key.clone(), Epoch::parse(self.text(1)?)?),
                process: ProcessId::from_claim(self.text(2)?),
                outcome: if status == "ended" { Some(outcome(self.text(3)?)) } else { None },
                is_certain: self.text(4) != Some("restoring"),
                is_stopped: self.text(5) == Some("stop"),
            },
            _ => return None,
        })
    }

    pub(super) fn sync(&self) -> Option<SyncReply> {
        Some(match self.status() {
            "ok" => SyncReply::InStep {
                newest: self.number(1)?,
                entries: self.number(2)?,
                stop: self.bytes(3).map(Bytes::copy_from_slice),
            },
            "behind" => SyncReply::Behind,
            status @ ("over" | "replaced") => SyncReply::Over {
                outcome: outcome(self.text(1)?),
                newest: self.number(2)?,
                is_replaced: status == "replaced",
                is_reported: self.number(3).is_some_and(|reported| reported > 0),
            },
            "other" => SyncReply::Other,
            _ => return None,
        })
    }

    pub(super) fn end(&self) -> Option<EndReply> {
        Some(match self.status() {
            "freed" => EndReply::Freed,
            "ended" => EndReply::Ended,
            "buried" => EndReply::Buried { newest: self.number(1)? },
            "over" => EndReply::Over(outcome(self.text(1)?)),
            "behind" => EndReply::Behind,
            "other" => EndReply::Other,
            "gone" => EndReply::Gone,
            "live" => EndReply::Live,
            _ => return None,
        })
    }

    pub(super) fn check(&self) -> Option<CheckReply> {
        let state = match self.status() {
            "starting" => RunState::Starting,
            "running" => RunState::Running,
            "void" => RunState::Void,
            "other" => RunState::Other,
            "gone" => RunState::Gone,
            _ => RunState::Ended,
        };
        let head = self.bytes(2).filter(|head| !head.is_empty()).map(|head| head.to_vec().into());
        let owner = self.text(3).map(ProcessId::from_claim);
        Some(CheckReply { state, newest: self.number(1)?, head, owner })
    }

    fn status(&self) -> &str {
        self.text(0).unwrap_or_default()
    }

    fn bytes(&self, at: usize) -> Option<&[u8]> {
        match self.0.get(at)? {
            Value::BulkString(bytes) => Some(bytes),
            Value::SimpleString(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    pub(super) fn text(&self, at: usize) -> Option<&str> {
        str::from_utf8(self.bytes(at)?).ok()
    }

    fn number(&self, at: usize) -> Option<u64> {
        self.0.get(at).and_then(number)
    }
}

/// Returns the outcome with this name. An outcome of a later version counts as an interruption.
pub(super) fn outcome(name: &str) -> Outcome {
    let mut all = RunsStats::default().ended_by_outcome().map(|(outcome, _)| outcome);
    all.find(|outcome| outcome.as_str() == name).unwrap_or(Outcome::Interrupted)
}

/// The id of the entry that ends a stream.
const END: (u64, u64) = (u64::MAX, 0);

/// Reads a page of a run's stream. If the page ends with a part of an event, also returns the
/// event's size in bytes, otherwise zero. Returns `None` if the reply is not a page.
pub(super) fn parse_page(reply: Value) -> Option<(Page, usize)> {
    let (is_last, entries, length): (_, Vec<RawEntry>, _) = from_redis_value(reply).ok()?;
    let mut page = Page { is_last, ..Page::default() };
    for entry in entries {
        let (at, part) = (entry.id.milliseconds, entry.id.counter);
        let mut fields = PageFields(entry);
        if (at, part) == END {
            page.end = Some(fields.end()?);
            page.is_last = true;
        } else if (at, part) == (0, 1) {
            page.head = fields.take(b"h");
        } else if part == 0 {
            page.batches.push(fields.batch(at)?);
        }
        // Any other entry is the empty one after a large batch.
    }
    Some((page, length))
}

struct PageFields(RawEntry);

impl PageFields {
    fn batch(&mut self, last: u64) -> Option<Batch> {
        let first = self.number(b"f")?;
        let bytes = self.take(b"d")?;
        (1 <= first && first <= last).then_some(Batch { first, last, bytes })
    }

    fn end(&mut self) -> Option<StoredEnd> {
        let newest = self.number(b"n")?;
        let error = self.take(b"m")?;
        let error = str::from_utf8(&error).ok()?;
        let error = (!error.is_empty()).then(|| error.into());
        let name = self.take(b"o")?;
        let outcome = outcome(std::str::from_utf8(&name).ok()?);
        let head = self.take(b"h").filter(|head| !head.is_empty());
        Some(StoredEnd { outcome, error, newest, head })
    }

    fn number(&mut self, name: &[u8]) -> Option<u64> {
        std::str::from_utf8(&self.take(name)?).ok()?.parse().ok()
    }

    fn take(&mut self, name: &[u8]) -> Option<Bytes> {
        let mut pairs = self.0.fields.chunks_exact_mut(2);
        let named = |pair: &&mut [Vec<u8>]| pair.first().is_some_and(|field| field == name);
        let [_, value] = pairs.find(named)? else { return None };
        Some(std::mem::take(value).into())
    }
}

/// Reads a message of a run's channel. Returns `None` if it is in another format.
pub(super) fn parse_push(message: Vec<u8>) -> Option<Push> {
    let mut rest = Bytes::from(message);
    let kind = *rest.first()?;
    _ = rest.split_to(1);
    match kind {
        b'd' => {
            let first = take_number(&mut rest)?;
            let last = take_number(&mut rest)?;
            (1 <= first && first <= last).then_some(Push::Batch(Batch { first, last, bytes: rest }))
        }
        b'n' => Some(Push::Newest(str::from_utf8(&rest).ok()?.parse().ok()?)),
        b'e' => {
            let newest = take_number(&mut rest)?;
            let (name, error) = str::from_utf8(&rest).ok()?.split_once(' ')?;
            let error = (!error.is_empty()).then(|| error.into());
            Some(Push::End(StoredEnd { outcome: outcome(name), error, newest, head: None }))
        }
        b'v' => Some(Push::Void),
        _ => None,
    }
}

/// Takes a number and the space after it.
fn take_number(rest: &mut Bytes) -> Option<u64> {
    let end = rest.iter().position(|&byte| byte == b' ')?;
    let number = rest.split_to(end);
    _ = rest.split_to(1);
    str::from_utf8(&number).ok()?.parse().ok()
}

/// Returns the failure of an error reply with this code.
pub(super) fn failure_of(code: &str) -> Failure {
    match code {
        "NOSCRIPT" => Failure::NoScript,
        "WRONGTYPE" => Failure::Run,
        "ERR" => Failure::Stopped,
        "OOM" | "MISCONF" | "NOREPLICAS" | "BUSY" | "NOPERM" => Failure::Unavailable,
        // Such as READONLY, MASTERDOWN, LOADING and NOAUTH.
        _ => Failure::WrongServer,
    }
}

/// Returns a reply, or its failure. Errors within an array remain.
pub(super) fn check(reply: Value) -> Result<Value, Failure> {
    match reply {
        Value::ServerError(error) => Err(failure_of(error.code())),
        reply => Ok(reply),
    }
}

#[cfg(test)]
mod tests {
    use tower_sse::runs::Outcome;

    use super::{Failure, failure_of, parse_push};
    use crate::runs::seam::{Batch, Push, StoredEnd};

    #[test]
    fn only_messages_of_owners_are_read() {
        let end = |outcome, error: Option<&str>, newest| {
            Push::End(StoredEnd { outcome, error: error.map(Into::into), newest, head: None })
        };
        let batch = Batch { first: 3, last: 5, bytes: "data: a b\n\n".into() };
        for (message, expected) in [
            ("d3 5 data: a b\n\n", Push::Batch(batch)),
            ("e7 failed no more tokens", end(Outcome::Failed, Some("no more tokens"), 7)),
            ("e0 completed ", end(Outcome::Completed, None, 0)),
            ("e0 unheard-of ", end(Outcome::Interrupted, None, 0)),
            ("n17", Push::Newest(17)),
        ] {
            let read = parse_push(message.into());
            assert_eq!(format!("{read:?}"), format!("{:?}", Some(expected)), "{message}");
        }
        for message in
            ["", "x", "d", "d1", "d1 x ", "d5 3 late", "d0 1 zero", "e1", "e1 failed", "n", "nx"]
        {
            assert!(parse_push(message.into()).is_none(), "{message}");
        }
    }

    #[test]
    fn errors_are_sorted_by_their_codes() {
        for (code, failure) in [
            ("NOSCRIPT", Failure::NoScript),
            ("ERR", Failure::Stopped),
            ("WRONGTYPE", Failure::Run),
            ("OOM", Failure::Unavailable),
            ("MISCONF", Failure::Unavailable),
            ("READONLY", Failure::WrongServer),
            ("LOADING", Failure::WrongServer),
            ("SOMETHING", Failure::WrongServer),
        ] {
            assert_eq!(failure_of(code), failure, "{code}");
        }
    }
}
