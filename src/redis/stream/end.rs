use ::redis::{Cmd, cmd};

use super::{entry::END, publication::add_to};

/// The minimum time in milliseconds between an announcement and the end of a topic.
pub(crate) const NOTICE: u64 = 100;
/// The maximum time in milliseconds between an announcement and the end of a topic.
pub(crate) const VALIDITY: u64 = 10_000;

/// A script that adds the last event of a topic after the announcement `announced`. It returns the
/// id of the entry.
///
/// It returns an integer, and adds nothing, if the announcement is not old enough: the milliseconds
/// to wait. The integer is -1 if the stream does not have the announcement, or if it is too old.
const ADD: &str = include_str!("lua/end.lua");

/// Returns the command that adds the last event of a topic, without the fields and the id of the
/// announcement, which follow.
pub(super) fn add_last_to(key: &str, max_len: usize) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(ADD).arg(1).arg(key).arg(NOTICE).arg(VALIDITY).arg(max_len);
    command
}

/// Returns the command that announces the end of a topic.
pub(crate) fn announcement(key: &str, max_len: usize) -> Cmd {
    let mut command = add_to(key, max_len);
    command.arg(END).arg("");
    command
}
