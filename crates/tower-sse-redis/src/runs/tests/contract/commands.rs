//! The commands of the store.

use super::{HEAD, RESTORE, *};
use crate::runs::seam::{Append, Check, Sync, Trim};

/// The mode of a cancel without a last event.
pub(crate) const CANCEL: EndMode = EndMode::Cancel { lines: None };

pub(crate) fn look(run: &RunId) -> Command {
    Command::Look(run.key.clone())
}

pub(crate) fn claim(run: &RunId) -> Command {
    Command::Claim { run: run.clone(), earlier: None }
}

pub(crate) fn replace(run: &RunId, earlier: &RunId) -> Command {
    Command::Claim { run: run.clone(), earlier: Some(earlier.clone()) }
}

pub(crate) fn sync(run: &RunId) -> Command {
    sync_as(HEAD, run)
}

pub(crate) fn restore(run: &RunId) -> Command {
    sync_as(RESTORE, run)
}

pub(crate) fn sync_as(sync: scene::Sync<'_>, run: &RunId) -> Command {
    let scene::Sync { entries, restores, head, is_quiet } = sync;
    let head = Some(Bytes::copy_from_slice(head.as_bytes())).filter(|head| !head.is_empty());
    Command::Sync(Sync { run: run.clone(), entries, restores, pushes: !is_quiet, head })
}

/// Returns the renewal of a run whose stream must have only its head.
pub(crate) fn renew(run: &RunId) -> Command {
    Command::Renew(Renew { run: run.clone(), entries: Some(1) })
}

pub(crate) fn append(run: &RunId, first: u64, last: u64, bytes: impl Into<Bytes>) -> Command {
    let batch = Batch { first, last, bytes: bytes.into() };
    Command::Append(Append { run: run.clone(), batch, pushes: true })
}

pub(crate) fn trim(run: &RunId, keep_from: u64) -> Command {
    Command::Trim(Trim { run: run.clone(), keep_from })
}

pub(crate) fn end(run: &RunId, mode: EndMode) -> Command {
    Command::End(End { run: run.clone(), mode })
}

pub(crate) const fn completed(newest: u64) -> EndMode {
    completed_with(newest, None)
}

/// Returns the mode of an owner that knows the number of entries of its stream.
pub(crate) const fn completed_with(newest: u64, entries: Option<u64>) -> EndMode {
    EndMode::Own { outcome: Outcome::Completed, error: None, newest, entries }
}

pub(crate) fn check(run: &RunId) -> Command {
    check_as(true, run)
}

pub(crate) fn check_as(is_watched: bool, run: &RunId) -> Command {
    Command::Check(Check { run: run.clone(), is_watched, wants_head: true })
}
