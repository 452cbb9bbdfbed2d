use bytes::Bytes;

/// Evicted bytes, which are dropped after all locks are released.
#[derive(Debug, Default)]
pub(crate) struct DeferredDrops {
    /// Separate from `rest`, so that a full topic, which evicts one event per publish, does not
    /// allocate.
    first: Bytes,
    rest: Vec<Bytes>,
}

impl DeferredDrops {
    pub(super) fn add(&mut self, bytes: Bytes) {
        if self.first.is_empty() {
            self.first = bytes;
        } else {
            self.rest.push(bytes);
        }
    }
}
