use super::record::Record;
use crate::event::{Decoder, Message};

/// The number of bytes that are copied while the record is locked.
const CHUNK_SIZE: usize = 64 * 1024;

impl Record {
    /// Decodes all events. Returns `None` if any was evicted.
    pub(crate) fn messages(&self) -> Option<Vec<Message>> {
        // An event cannot be larger than the record.
        let mut decoder = Decoder::new().max_event_size(usize::MAX);
        let mut messages = Vec::new();
        let mut seen = 0;
        while seen < self.newest() {
            let (first, last, mut bytes) = self.next_batch(seen, CHUNK_SIZE)?;
            if first != seen + 1 {
                return None;
            }
            while let Ok(Some(message)) = decoder.decode(&mut bytes) {
                messages.push(message);
            }
            seen = last;
        }
        Some(messages)
    }
}
