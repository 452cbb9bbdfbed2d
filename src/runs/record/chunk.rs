use bytes::{Bytes, BytesMut};

/// The maximum size of a chunk, in bytes. A server that holds an event for a slow client holds its
/// chunk, even after the event was evicted.
const MAX_SIZE: u64 = 1024;

/// The memory of a run's next events. Small events share chunks, so that most of them do not
/// allocate.
///
/// - A chunk takes at most a quarter of the bytes that the run has recorded, so that short runs
///   waste little memory.
/// - An event that is larger than a quarter of a chunk has an allocation of its own.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    // Boxed, so that the many runs that are too short for a chunk take only a pointer for it.
    buffer: Option<Box<BytesMut>>,
}

impl Chunk {
    /// Returns the bytes that `write` appends: an event of `len` bytes, after `recorded` bytes of
    /// earlier events.
    #[inline]
    pub(super) fn event(
        &mut self,
        len: usize,
        recorded: u64,
        write: impl FnOnce(&mut BytesMut),
    ) -> Bytes {
        let size = MAX_SIZE.min(recorded / 4) as usize;
        if len > size / 4 {
            let mut event = BytesMut::with_capacity(len);
            write(&mut event);
            return event.freeze();
        }
        let buffer = self.buffer.get_or_insert_default();
        if buffer.capacity() < len {
            **buffer = BytesMut::with_capacity(size);
        }
        write(buffer);
        buffer.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use allocation_counter::measure;
    use bytes::{BufMut, Bytes};

    use super::{Chunk, MAX_SIZE};

    #[test]
    fn small_events_take_few_allocations_and_at_most_a_third_more_memory() {
        for len in [30, 60, 100, 255, 256, 257, 1000, 5000] {
            for count in [1, 2, 10, 30, 100, 1000] {
                let mut events: Vec<Bytes> = Vec::with_capacity(count);
                let mut chunk = Chunk::default();
                let taken = measure(|| {
                    for n in 0..count {
                        let recorded = (n * len) as u64;
                        let event = chunk.event(len, recorded, |to| to.put_bytes(n as u8, len));
                        events.push(event);
                    }
                });
                let most = (len * count + len * count / 3 + 100) as i64;
                assert!(taken.bytes_current <= most, "{count} of {len}: {taken:?}");
                if len <= 100 && count >= 100 {
                    assert!(taken.count_total < count as u64 / 2, "{count} of {len}: {taken:?}");
                }
                for (n, event) in events.into_iter().enumerate() {
                    assert_eq!(event, vec![n as u8; len]);
                }
            }
        }
    }

    #[test]
    fn held_event_holds_no_more_than_its_chunk() {
        let mut held = None;
        let taken = measure(|| {
            let mut chunk = Chunk::default();
            for n in 0..1000 {
                held = Some(chunk.event(60, n * 60, |to| to.put_bytes(b'x', 60)));
            }
        });
        assert!(taken.bytes_current <= MAX_SIZE as i64 + 100, "{taken:?}");
        drop(held);
    }
}
