//! Replies and pushes as short texts.

use super::*;

/// Returns what a store has answered. Errors are `unavailable`, `wrong server`, `lost`, `run` or
/// `version`.
pub(crate) fn text<T>(reply: Result<T, Failure>, read: impl FnOnce(T) -> String) -> String {
    match reply {
        Ok(reply) => read(reply),
        Err(Failure::Unavailable | Failure::NoScript) => "unavailable".into(),
        Err(Failure::WrongServer) => "wrong server".into(),
        Err(Failure::Lost | Failure::Stopped) => "lost".into(),
        Err(other) => name(other),
    }
}

pub(crate) fn look_text(reply: LookReply) -> String {
    match reply {
        LookReply::Run { run, process, outcome: None, is_certain, .. } => {
            format!("live {} of {}{}", run.epoch, process.as_str(), doubt(is_certain))
        }
        LookReply::Run { run, outcome: Some(outcome), is_certain, .. } => {
            format!("{outcome} {}{}", run.epoch, doubt(is_certain))
        }
        other => name(other),
    }
}

fn name(reply: impl Debug) -> String {
    format!("{reply:?}").to_lowercase()
}

fn doubt(is_certain: bool) -> &'static str {
    if is_certain { "" } else { " or restoring" }
}

pub(crate) fn sync_text(reply: SyncReply) -> String {
    match reply {
        SyncReply::InStep { newest, entries, stop } => {
            let stop = stop.map(|stop| format!(", stop {}", String::from_utf8_lossy(&stop)));
            format!("ok {newest} {entries}{}", stop.unwrap_or_default())
        }
        SyncReply::Over { outcome, is_replaced, is_reported, .. } => {
            let status = if is_replaced { "replaced" } else { "over" };
            let reported = if is_reported { ", reported" } else { "" };
            format!("{status} {outcome}{reported}")
        }
        other => name(other),
    }
}

pub(crate) fn end_text(reply: EndReply) -> String {
    match reply {
        EndReply::Buried { newest } => format!("buried {newest}"),
        EndReply::Over(outcome) => format!("over {outcome}"),
        other => name(other),
    }
}

pub(crate) fn check_text(reply: CheckReply) -> String {
    let CheckReply { state, newest, head, .. } = reply;
    if matches!(state, RunState::Starting | RunState::Void | RunState::Gone) {
        return name(state);
    }
    let head = head.map(|head| format!(" {}", utf8(&head)));
    format!("{} {newest}{}", name(state), head.unwrap_or_default())
}

/// Returns what an inbox has received.
pub(crate) fn received(incoming: &Incoming) -> String {
    match incoming {
        Incoming::Hint(epoch) => format!("hint {epoch}"),
        Incoming::Asked(epoch) => format!("asked {epoch}"),
        Incoming::HintToAll => "hint to all".into(),
        Incoming::Dead(dead) => format!("dead {}", dead.id.as_str()),
        Incoming::Watched(run) => format!("watched {}", run.epoch),
        Incoming::Reconnected => "reconnected".into(),
        Incoming::Push(_, Push::Batch(Batch { first, last, bytes })) => {
            format!("{first} {last} {}", utf8(bytes))
        }
        Incoming::Push(_, Push::Newest(u64::MAX)) => "changed".into(),
        Incoming::Push(_, Push::Newest(newest)) => format!("newest {newest}"),
        Incoming::Push(_, Push::End(end)) => format!("end {} {}", end.outcome, end.newest),
        Incoming::Push(_, Push::Void) => "void".into(),
        Incoming::Replaced(epoch) => format!("replaced {epoch}"),
    }
}

pub(crate) fn utf8(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
