use super::record::Record;
use crate::history::DeferredDrops;

/// What the mirror of another process's run gives up when memory is short.
impl Record {
    /// Returns the memory of the events and of the frames.
    pub(crate) fn events_memory(&self) -> usize {
        self.lock().log.events_memory()
    }

    /// Evicts the frames, and the events that all clients have read. If that frees nothing, evicts
    /// all events: a client that needs one loads the run again.
    pub(crate) fn give_way(&self) {
        let mut drops = DeferredDrops::default();
        let mut state = self.lock();
        let memory = state.log.events_memory();
        // If no client is attached, a request may still wait for the events, so they count as
        // unread.
        let read = state.readers.slowest().unwrap_or(0);
        state.log.evict_frames(&mut drops);
        state.log.evict_up_to(read, usize::MAX, &mut drops);
        if state.log.events_memory() == memory {
            state.log.evict(usize::MAX, &mut drops);
        }
        state.log.shrink();
        state.has_given_way = true;
    }
}
