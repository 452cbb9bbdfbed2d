use redis::Cmd;
use tower_sse::{Event, hub::broker::Fields};

use super::{
    entry::{COMMENT, DATA, END, EVENT, RETRY, TOPIC},
    identity::fingerprint,
};

/// An event to publish.
pub(crate) struct AddEvent {
    /// The command that adds it.
    pub(crate) command: Cmd,
    /// The fingerprint of the entry.
    pub(crate) fingerprint: u64,
}

impl AddEvent {
    pub(crate) fn new(
        key: &str,
        max_len: usize,
        topic: &str,
        event: &Event,
        ends_topic: bool,
    ) -> Self {
        let mut command = redis::cmd("XADD");
        command.arg(key).arg("NOMKSTREAM").arg("MAXLEN").arg("~").arg(max_len).arg("*");
        let Fields { data, name, retry, comment, .. } = event.fields();
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
        Self { command, fingerprint: fingerprint(parts) }
    }
}
