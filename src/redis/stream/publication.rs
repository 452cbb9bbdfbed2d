use std::borrow::Cow;

use ::redis::Cmd;

use super::{
    end::add_last_to,
    entry::{COMMENT, DATA, END, EVENT, RETRY, TOPIC},
    identity::fingerprint,
    stream_id::StreamId,
};
use crate::event::{Event, Fields};

/// An event to publish.
pub(crate) struct Publication {
    /// For the last event of a topic, the id of its announcement must follow.
    command: Cmd,
    /// The fingerprint of the entry.
    pub(crate) fingerprint: u64,
    /// Whether the event ends its topic.
    pub(crate) is_last: bool,
}

impl Publication {
    pub(crate) fn new(
        key: &str,
        max_len: usize,
        topic: &str,
        event: &Event,
        is_last: bool,
    ) -> Self {
        let add = if is_last { add_last_to } else { add_to };
        let mut command = add(key, max_len);
        let Fields { data, name, retry, comment } = event.fields();
        let retry = retry.map(|retry| retry.to_string());
        let fields = [
            (TOPIC, Some(topic)),
            (DATA, Some(data)),
            (EVENT, name),
            (RETRY, retry.as_deref()),
            (COMMENT, comment),
            (END, is_last.then_some("1")),
        ];
        let parts = fields.into_iter().filter_map(|(name, value)| Some([name, value?])).flatten();
        parts.clone().for_each(|part| _ = command.arg(part));
        Self { command, fingerprint: fingerprint(parts), is_last }
    }

    /// Returns the command that adds the event. The last event of a topic is added after the
    /// announcement with this id.
    pub(crate) fn command(&self, announced: Option<StreamId>) -> Cow<'_, Cmd> {
        let mut command = Cow::Borrowed(&self.command);
        if let Some(id) = announced {
            command.to_mut().arg(id.to_string());
        }
        command
    }
}

/// Returns the command that adds an entry to the stream, without the fields.
pub(super) fn add_to(key: &str, max_len: usize) -> Cmd {
    let mut command = ::redis::cmd("XADD");
    command.arg(key).arg("NOMKSTREAM").arg("MAXLEN").arg("~").arg(max_len).arg("*");
    command
}
