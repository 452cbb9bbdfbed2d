use std::mem;

use bytes::Bytes;

use crate::event::{Encode, FrameBuf};

/// The frame size while the client keeps up, in bytes.
const LARGE_FRAME: usize = 16 * 1024;
/// The frame size while the server still holds earlier frames, in bytes. hyper holds up to 16
/// frames for a client that reads slowly.
const SMALL_FRAME: usize = 4 * 1024;
/// The capacity up to which a buffer is kept for the next frame of a body that is recorded. It is
/// small, because an idle body keeps it.
const KEPT_CAPACITY: usize = 256;

/// The events that leave together as the next frame of an [`EventBody`](super::EventBody).
///
/// Frames grow from 4 KiB to 16 KiB once the server has dropped the previous ones.
pub(super) struct FrameBatch {
    buffer: FrameBuf,
    frame_size: usize,
    /// Whether the last frame was full, so that the next event may get a larger buffer.
    is_full: bool,
    /// Whether the buffer is a small one that is kept for the next frame.
    is_kept: bool,
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
        Self { buffer: FrameBuf::new(), frame_size: SMALL_FRAME, is_full: false, is_kept: false }
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
            // A small one is copied if the next event can share its frame.
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

    /// Makes the next frame a small one in a new buffer, because no further event is ready.
    pub(super) const fn shrink(&mut self) {
        self.frame_size = SMALL_FRAME;
        self.is_full = false;
    }

    /// Returns the frame, or `None` if it has no bytes. An uncopied event that follows other events
    /// is a frame of its own, which [`take_uncopied`](Self::take_uncopied) returns.
    ///
    /// If the frame `is_recorded`, its reader drops it soon, so the next one reuses its buffer.
    pub(super) fn take_frame(&mut self, is_recorded: bool) -> Option<Bytes> {
        if self.buffer.len() == 0 {
            if !self.is_full && !self.is_kept {
                self.buffer.replace(0);
            }
            return self.take_uncopied();
        }
        self.is_kept = is_recorded && self.buffer.capacity() <= KEPT_CAPACITY;
        let is_split = self.is_full || self.is_kept;
        Some(if is_split { self.buffer.split() } else { self.buffer.take() })
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
