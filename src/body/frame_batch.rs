use std::mem;

use bytes::Bytes;

use crate::{
    event::{Encode, FrameBuf},
    signals::is_within_recorder,
};

/// The frame size while the client keeps up, in bytes.
const LARGE_FRAME: usize = 16 * 1024;
/// The frame size while the server still holds earlier frames, in bytes. hyper holds up to 16
/// frames for a client that reads slowly.
const SMALL_FRAME: usize = 4 * 1024;
/// The capacity up to which the buffer of a body that is recorded is kept for its next frame. It is
/// small, because idle bodies keep it too.
const KEPT_CAPACITY: usize = 256;

/// The events that leave together as the next frame of an [`EventBody`](super::EventBody).
///
/// Frames grow from 4 KiB to 16 KiB once the server has dropped the previous ones.
pub(super) struct FrameBatch {
    buffer: FrameBuf,
    frame_size: usize,
    /// Whether the last frame was full, so that the next event may get a larger buffer.
    is_full: bool,
}

/// An event that is being encoded. Dropping it removes its bytes, because the event has failed to
/// encode or has panicked.
struct Incomplete<'b> {
    buffer: &'b mut FrameBuf,
    start: usize,
}

impl Drop for Incomplete<'_> {
    fn drop(&mut self) {
        self.buffer.truncate(self.start);
    }
}

/// The state of a [`FrameBatch`] after an event was pushed.
pub(super) enum Pushed {
    /// The frame has room for another event.
    Room,
    /// The event has no bytes.
    Empty,
    /// The frame has to be sent before another event is pushed.
    Full,
}

impl FrameBatch {
    pub(super) fn new() -> Self {
        Self { buffer: FrameBuf::new(), frame_size: SMALL_FRAME, is_full: false }
    }

    /// Encodes an event at the end of the frame. An event that fails to encode leaves no bytes.
    // Inlined into the loop that polls the stream, so that the event is encoded without a call.
    #[inline(always)]
    pub(super) fn push<T: Encode>(&mut self, event: T) -> Result<Pushed, T::Error> {
        let mut start = self.buffer.len();
        if start == 0 {
            if self.is_full {
                self.renew_buffer();
            }
            if self.buffer.has_uncopied() {
                self.buffer.copy_first(self.frame_size);
                start = self.buffer.len();
            }
        } else if start + self.buffer.spare() < self.frame_size {
            // The first event allocated a buffer of its own size; the second needs a frame's.
            self.buffer.reserve(self.frame_size - start);
        }
        let incomplete = Incomplete { buffer: &mut self.buffer, start };
        event.encode(incomplete.buffer)?;
        mem::forget(incomplete);
        if self.buffer.has_uncopied() {
            // A small event is copied if the next one can share its frame.
            let has_room = self.buffer.leaves_room_in(self.frame_size);
            return Ok(if has_room { Pushed::Room } else { Pushed::Full });
        }
        let end = self.buffer.len();
        if end == start {
            return Ok(Pushed::Empty);
        }
        if end + (end - start) > self.frame_size {
            // A larger buffer is not reused. It has room for many frames, so reclaiming it would
            // not show that the server has dropped the previous ones.
            self.is_full = end <= LARGE_FRAME;
            return Ok(Pushed::Full);
        }
        Ok(Pushed::Room)
    }

    /// Makes the next frame a small one, because no further event is ready. Frees a buffer that is
    /// large and empty.
    #[inline]
    pub(super) fn shrink(&mut self) {
        self.frame_size = SMALL_FRAME;
        let is_large = self.is_full || self.buffer.capacity() > KEPT_CAPACITY;
        if is_large && self.buffer.len() == 0 {
            self.buffer.replace(0);
        }
        self.is_full = false;
    }

    /// Returns the frame, or `None` if it has no bytes. An uncopied event that follows other events
    /// is a frame of its own, which [`take_uncopied`](Self::take_uncopied) returns.
    ///
    /// A recorder drops the frame soon, so the next one reuses its buffer.
    #[inline]
    pub(super) fn take_frame(&mut self) -> Option<Bytes> {
        if self.buffer.len() == 0 {
            return self.take_uncopied();
        }
        let is_kept =
            self.is_full || self.buffer.capacity() <= KEPT_CAPACITY && is_within_recorder();
        Some(if is_kept { self.buffer.split() } else { self.buffer.take() })
    }

    /// Returns the event that is sent without a copy, if there is one.
    pub(super) fn take_uncopied(&mut self) -> Option<Bytes> {
        self.buffer.take_uncopied()
    }

    pub(super) fn has_uncopied(&self) -> bool {
        self.buffer.has_uncopied()
    }

    /// Prepares the buffer after a full frame. It is a large one if the server has dropped the full
    /// frame, which shows that the client keeps up.
    fn renew_buffer(&mut self) {
        self.is_full = false;
        if !self.buffer.try_reclaim(self.frame_size) {
            self.frame_size = SMALL_FRAME;
            self.buffer.replace(SMALL_FRAME);
        } else if self.frame_size < LARGE_FRAME {
            self.frame_size = LARGE_FRAME;
            self.buffer.replace(LARGE_FRAME);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{FrameBatch, KEPT_CAPACITY, Pushed, SMALL_FRAME};
    use crate::{
        event::Event,
        signals::{within_layer, within_recorder},
    };

    fn frame(batch: &mut FrameBatch, len: usize) -> Bytes {
        assert!(batch.push(Event::from("x".repeat(len - 8))).is_ok());
        batch.take_frame().unwrap()
    }

    #[test]
    fn only_a_recorded_body_reuses_the_buffer_of_a_dropped_frame() {
        let mut batch = FrameBatch::new();
        let first = within_recorder(|| frame(&mut batch, 100));
        let held = within_recorder(|| frame(&mut batch, 90));
        assert_ne!(held.as_ptr(), first.as_ptr());
        let address = held.as_ptr();
        drop(held);
        let reused = within_recorder(|| frame(&mut batch, 80));
        assert_eq!(reused.as_ptr(), address);
        assert_eq!(*first, *[b"data: ", &[b'x'; 92][..], b"\n\n"].concat());
        drop(reused);
        within_layer(|| frame(&mut batch, 80));
        assert_eq!(batch.buffer.capacity(), 0);
    }

    #[test]
    fn idle_body_keeps_no_large_buffer() {
        let mut batch = FrameBatch::new();
        within_recorder(|| {
            frame(&mut batch, KEPT_CAPACITY + 1);
            assert_eq!(batch.buffer.capacity(), 0);
            while matches!(batch.push(Event::from("x".repeat(100))), Ok(Pushed::Room)) {}
            assert!(batch.take_frame().unwrap().len() > SMALL_FRAME / 2);
            assert!(batch.is_full);
            // The buffer is renewed, but empty.
            assert!(matches!(batch.push(Event::new()), Ok(Pushed::Empty)));
            assert!(batch.buffer.capacity() >= SMALL_FRAME);
            batch.shrink();
            assert_eq!(batch.buffer.capacity(), 0);
            assert!(batch.take_frame().is_none());
        });
    }
}
