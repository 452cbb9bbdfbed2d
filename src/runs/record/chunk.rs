use bytes::{Bytes, BytesMut};

/// The maximum size of a chunk, in bytes. A client that holds an event holds its chunk, even after
/// the event was evicted.
const MAX_SIZE: usize = 1024;

/// The memory of a run's next events. Small events share chunks, so that few of them allocate.
///
/// - A chunk takes at most a quarter of the run's bytes, so short runs waste no memory.
/// - An event that is larger than a quarter of a chunk has an allocation of its own.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    buffer: BytesMut,
    /// The size of the next chunk.
    size: usize,
}

impl Chunk {
    /// Returns the bytes that `write` appends: an event of `len` bytes.
    #[inline]
    pub(super) fn event(&mut self, len: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
        self.size = MAX_SIZE.min(self.size + len / 4);
        if len > self.size / 4 {
            let mut event = BytesMut::with_capacity(len);
            write(&mut event);
            return event.freeze();
        }
        if self.buffer.capacity() < len {
            self.buffer = BytesMut::with_capacity(self.size);
        }
        write(&mut self.buffer);
        self.buffer.split().freeze()
    }
}
