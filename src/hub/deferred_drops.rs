use bytes::Bytes;

/// Bytes that are not kept any more, to be dropped outside of all locks.
#[derive(Debug, Default)]
pub(super) struct DeferredDrops {
    /// A topic that is full lets go of one for each that comes: that needs no list.
    one: Bytes,
    more: Vec<Bytes>,
}

impl DeferredDrops {
    pub(super) fn add(&mut self, bytes: Bytes) {
        if self.one.is_empty() {
            self.one = bytes;
        } else {
            self.more.push(bytes);
        }
    }
}
