use ::redis::Cmd;

use super::{
    entry::{COMMENT, DATA, EVENT, RETRY, TOPIC},
    identity::Fingerprint,
};
use crate::event::{Event, Fields};

/// A command that publishes an event.
pub(crate) struct Publication {
    pub(crate) command: Cmd,
    /// The fingerprint of the entry.
    pub(crate) fingerprint: u64,
}

/// Returns the command that publishes an event.
pub(crate) fn publication(key: &str, max_len: usize, topic: &str, event: &Event) -> Publication {
    let mut command = add_to(key, max_len);
    let mut fingerprint = Fingerprint::default();
    for_each_part(topic, event, |part| {
        command.arg(part);
        fingerprint.add(part.as_bytes());
    });
    Publication { fingerprint: fingerprint.finish(), command }
}

/// Returns the command that adds an entry to the stream, without the fields.
pub(super) fn add_to(key: &str, max_len: usize) -> Cmd {
    let mut command = ::redis::cmd("XADD");
    command.arg(key).arg("NOMKSTREAM").arg("MAXLEN").arg("~").arg(max_len).arg("*");
    command
}

/// Passes the names and values of an event's fields to `add`, alternately.
pub(super) fn for_each_part(topic: &str, event: &Event, mut add: impl FnMut(&str)) {
    let Fields { data, name, retry, comment } = event.fields();
    let retry = retry.map(|retry| retry.to_string());
    let required = [(TOPIC, Some(topic)), (DATA, Some(data))];
    let optional = [(EVENT, name), (RETRY, retry.as_deref()), (COMMENT, comment)];
    for (name, value) in required.into_iter().chain(optional) {
        if let Some(value) = value {
            add(name);
            add(value);
        }
    }
}
