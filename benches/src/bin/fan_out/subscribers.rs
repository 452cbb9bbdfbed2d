use tower_sse_benches::sockets::client::Receiver;

use super::event::published_ns;
use crate::*;

/// Counts the events of all subscribers, and keeps the bytes of one.
#[derive(Default)]
pub struct Subscribers {
    delays: Option<Vec<u64>>,
    /// All bytes that the first subscriber has read.
    pub witnessed: Vec<u8>,
}

impl Subscribers {
    /// Starts to record the delay of each event, from its publication to the return of the read.
    pub fn measure_delays(&mut self) {
        self.delays = Some(Vec::new());
    }

    /// Returns the delays in ascending order, or `None` if they were not measured.
    pub fn delays(&mut self) -> Option<Vec<u64>> {
        let mut delays = self.delays.take()?;
        delays.sort_unstable();
        Some(delays)
    }
}

impl Receiver for Subscribers {
    fn receive(&mut self, connection: usize, bytes: &[u8]) -> io::Result<u64> {
        let mut delivered = 0;
        if let Some(delays) = &mut self.delays {
            let now = monotonic_ns();
            for marker in memchr_iter(MARKER, bytes) {
                delivered += 1;
                delays.extend(published_ns(bytes, marker).map(|then| now - then));
            }
        } else {
            delivered = memchr_iter(MARKER, bytes).count() as u64;
        }
        if connection == 0 {
            self.witnessed.extend_from_slice(bytes);
        }
        Ok(delivered)
    }
}
