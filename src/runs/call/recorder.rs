use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Body;

use crate::{
    BoxError,
    coop::CoopBudget,
    history::MemoryShare,
    runs::{
        failure::Failure,
        process::Producer,
        record::{Appended, Cutter},
    },
    signals::within_recorder,
};

/// Reads a body and records its events.
#[derive(Debug)]
pub(crate) struct Recorder {
    cutter: Cutter,
    /// The bytes of the last frame that are not recorded yet.
    bytes: Bytes,
    /// The memory of an incomplete event.
    memory: MemoryShare,
    budget: CoopBudget,
}

impl Recorder {
    pub(crate) fn new(producer: &Producer) -> Self {
        Self {
            cutter: Cutter::default(),
            bytes: Bytes::new(),
            memory: MemoryShare::new(Arc::clone(&producer.process.counters.memory)),
            budget: CoopBudget::default(),
        }
    }

    /// Records events until the body or the run has ended. If the body fails, returns its
    /// failure.
    ///
    /// Pending while the body is pending, and while the record is full of events that no client has
    /// read.
    pub(crate) fn poll<B>(
        &mut self,
        mut body: Pin<&mut B>,
        producer: &Producer,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>>,
    {
        loop {
            if !self.bytes.is_empty() || self.cutter.is_complete() {
                match self.append(producer, cx) {
                    Appended::All => {}
                    Appended::Some => ready!(CoopBudget::poll_ready(cx)),
                    Appended::Full => return Poll::Pending,
                    Appended::Over => return Poll::Ready(Ok(())),
                    Appended::TooLarge => {
                        let limit = producer.record.max_event();
                        let text = format!("an event is larger than {limit} bytes");
                        return Poll::Ready(Err(text.into()));
                    }
                }
                continue;
            }
            ready!(CoopBudget::poll_ready(cx));
            match within_recorder(|| body.as_mut().poll_frame(cx)) {
                Poll::Pending => {
                    self.cutter.shrink();
                    self.memory.set(self.cutter.memory());
                    return Poll::Pending;
                }
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(Failure::of(error.into())));
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) if !bytes.is_empty() => self.bytes = bytes,
                    // Trailers are dropped: they are no part of an event stream.
                    Ok(_) | Err(_) => ready!(self.budget.poll_empty(cx)),
                },
            }
        }
    }

    fn append(&mut self, producer: &Producer, cx: &mut Context<'_>) -> Appended {
        let before = self.bytes.len();
        let appended = producer.record.append(&mut self.cutter, &mut self.bytes);
        self.budget.spend(cx, before - self.bytes.len());
        if self.bytes.is_empty() {
            // An empty slice would keep the memory of its frame.
            self.bytes = Bytes::new();
        }
        self.memory.set(self.cutter.memory());
        producer.mark();
        producer.process.make_room(0);
        appended
    }
}
