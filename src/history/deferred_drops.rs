use bytes::Bytes;

/// Evicted bytes, to be dropped after all locks are released.
#[derive(Debug, Default)]
pub(crate) struct DeferredDrops {
    /// A full topic evicts one event for each published event: that allocates no list.
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
