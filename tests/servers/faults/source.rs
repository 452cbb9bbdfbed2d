use std::{future::pending, panic::resume_unwind};

use async_stream::stream;
use tokio::time::interval;

use super::ledger::Ledger;
use crate::*;

/// The behaviour of a source after its first events.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Then {
    Silence,
    /// One event per millisecond.
    Busy,
    /// Events without a pause.
    Flood,
    End,
    Fail,
    /// It fails with the error of a task that the program has cancelled.
    Cancel,
    Panic,
}

impl Then {
    pub(crate) fn parse(word: &str) -> Self {
        match word {
            "silence" => Self::Silence,
            "busy" => Self::Busy,
            "flood" => Self::Flood,
            "end" => Self::End,
            "fail" => Self::Fail,
            "cancel" => Self::Cancel,
            "panic" => Self::Panic,
            _ => panic!("no source does {word}"),
        }
    }
}

pub(crate) const EVENT: &str = "data: x\n\n";

pub(crate) fn source(
    ledger: &Arc<Ledger>,
    id: u64,
    events: usize,
    then: Then,
) -> impl Stream<Item = io::Result<Encoded>> + Send + use<> {
    let guard = ledger.guard();
    let ledger = Arc::clone(ledger);
    stream! {
        let _guard = guard;
        for _ in 0..events {
            yield Ok(Event::from("x").into());
        }
        match then {
            Then::Silence => pending().await,
            Then::Busy => {
                let mut ticks = interval(Duration::from_millis(1));
                loop {
                    ticks.tick().await;
                    yield Ok(Event::from("x").into());
                }
            }
            Then::Flood => {
                let event = Encoded::from(Event::from("x".repeat(1000)));
                loop {
                    ledger.made(id);
                    yield Ok(event.clone());
                }
            }
            Then::End => {}
            Then::Fail => yield Err(io::Error::other("disk full")),
            Then::Cancel => yield Err(io::Error::other(cancelled_task().await)),
            // `panic!` would call the hook, which would print each of thousands of panics.
            Then::Panic => resume_unwind(Box::new("the source panics")),
        }
    }
}
