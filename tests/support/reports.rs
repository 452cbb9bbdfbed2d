use std::mem;

use tower_sse::CloseReport;

use super::*;

/// The calls of `on_open` and `on_close`.
#[derive(Clone, Default)]
pub struct Reports {
    opened: Arc<AtomicUsize>,
    closed: Arc<Mutex<Vec<CloseReport>>>,
}

impl Reports {
    pub fn observe<M>(&self, layer: SseLayer<M>) -> SseLayer<M> {
        let (opens, closes) = (self.clone(), self.clone());
        layer
            .on_open(move || {
                opens.opened.fetch_add(1, SeqCst);
            })
            .on_close(move |closed| closes.closed.lock().unwrap().push(closed.clone()))
    }

    pub fn opened(&self) -> usize {
        self.opened.load(SeqCst)
    }

    pub fn closed(&self) -> Vec<CloseReport> {
        self.closed.lock().unwrap().clone()
    }

    pub fn reasons(&self) -> Vec<CloseReason> {
        self.closed().iter().map(|report| report.reason).collect()
    }

    /// Returns the close reasons since the last `take`.
    pub fn take(&self) -> Vec<CloseReason> {
        mem::take(&mut *self.closed.lock().unwrap()).iter().map(|report| report.reason).collect()
    }
}
