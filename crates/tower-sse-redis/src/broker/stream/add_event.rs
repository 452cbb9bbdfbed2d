use redis::Cmd;
use tower_sse::{Event, hub::broker::Fields};

use super::entry::{COMMENT, DATA, END, EVENT, RETRY, TOPIC, fingerprint};
use crate::Error;

/// The maximum size of an event: its topic, data, name and comment, in bytes. Each process must read
/// it within the time limit of answers.
const MAX_SIZE: usize = 1 << 20;

/// An event to publish.
pub(crate) struct AddEvent {
    /// The command that adds it.
    pub(crate) command: Cmd,
    /// The fingerprint of the entry.
    pub(crate) fingerprint: u64,
}

impl AddEvent {
    /// Returns an error if the event is too large.
    pub(crate) fn new(
        key: &str,
        max_len: usize,
        topic: &str,
        event: &Event,
        ends_topic: bool,
    ) -> Result<Self, Error> {
        let mut command = redis::cmd("XADD");
        command.arg(key).arg("NOMKSTREAM").arg("MAXLEN").arg("~").arg(max_len).arg("*");
        let Fields { data, name, retry, comment, .. } = event.fields();
        let size = [topic, data].into_iter().chain(name).chain(comment).map(str::len).sum();
        if size > MAX_SIZE {
            return Err(too_large(size));
        }
        let retry = retry.map(|retry| retry.to_string());
        let fields = [
            (TOPIC, Some(topic)),
            (DATA, Some(data)),
            (EVENT, name),
            (RETRY, retry.as_deref()),
            (COMMENT, comment),
            (END, ends_topic.then_some("1")),
        ];
        let parts = fields.into_iter().filter_map(|(name, value)| Some([name, value?])).flatten();
        parts.clone().for_each(|part| _ = command.arg(part));
        Ok(Self { command, fingerprint: fingerprint(parts) })
    }
}

#[cold]
fn too_large(size: usize) -> Error {
    Error::new(
        "publish an event to Redis",
        format!("the event has {size} bytes, more than {MAX_SIZE}"),
    )
}
