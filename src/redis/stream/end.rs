use ::redis::{Cmd, cmd};

use super::{
    entry::END,
    identity::Fingerprint,
    publication::{add_to, for_each_part},
    stream_id::StreamId,
};
use crate::event::Event;

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

/// The last event of a topic, as an entry to be added.
pub(crate) struct LastEvent {
    fields: Vec<String>,
    /// The fingerprint of the entry.
    pub(crate) fingerprint: u64,
}

impl LastEvent {
    pub(crate) fn new(topic: &str, event: &Event) -> Self {
        let mut fields = Vec::new();
        for_each_part(topic, event, |part| fields.push(part.to_owned()));
        fields.extend([END.to_owned(), "1".to_owned()]);
        Self { fingerprint: Fingerprint::of(&fields), fields }
    }

    /// Returns the command that adds the event, after the announcement with this id.
    pub(crate) fn command(&self, key: &str, max_len: usize, announced: StreamId) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(ADD).arg(1).arg(key).arg(announced.to_string());
        command.arg(NOTICE).arg(VALIDITY).arg(max_len);
        command.arg(&self.fields);
        command
    }
}

/// Returns the command that announces the end of a topic.
pub(crate) fn announcement(key: &str, max_len: usize) -> Cmd {
    let mut command = add_to(key, max_len);
    command.arg(END).arg("");
    command
}
