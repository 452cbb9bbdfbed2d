//! A filter that carries out a plan, and what becomes of a stream that passes through it.

// Each test uses only a part of this file.
#![allow(dead_code, unreachable_pub)]

use std::mem;
use std::sync::{Arc, Mutex};

use http::Response;
use tower_sse::filter::{EventFilter, FilterEnd, SourceEnd, Verdict};
use tower_sse::{Event, decode::EventRef, event::Encoded};

use crate::naive::{self, Block, Place};
use crate::naive_filter::{
    ADDED, BY_FILTER, Choice, Expected, OF_SOURCE, Plan, REJECTED, TOO_LARGE,
};

#[derive(Debug, Default)]
pub struct Log {
    pub seen: Vec<Block>,
    pub source_ends: Vec<&'static str>,
    pub ends: Vec<FilterEnd>,
    pub drops: usize,
}

pub type Logged = Arc<Mutex<Log>>;

/// Asserts that the end was reported once and the filter dropped once, and returns the outcome.
#[track_caller]
pub fn outcome(log: &Logged) -> &'static str {
    let log = log.lock().unwrap();
    assert_eq!((log.ends.len(), log.drops), (1, 1), "the end is reported once");
    log.ends[0].outcome.as_str()
}

/// Asserts that the filter was dropped without a report.
#[track_caller]
pub fn assert_discarded(log: &Logged) {
    let log = log.lock().unwrap();
    assert_eq!((log.ends.len(), log.drops), (0, 1), "nothing is reported");
}

pub struct Planned {
    pub plan: Plan,
    pub log: Logged,
}

impl Drop for Planned {
    fn drop(&mut self) {
        self.log.lock().unwrap().drops += 1;
    }
}

pub fn added() -> Encoded {
    Event::new().event("added").data("by the filter").into()
}

fn verdict(choice: Choice) -> Verdict {
    assert_eq!(added().as_bytes(), ADDED.as_bytes());
    match choice {
        Choice::Pass => Verdict::Pass,
        Choice::Drop => Verdict::Drop,
        Choice::Replace => Verdict::Replace(added()),
        Choice::Insert => Verdict::Insert(added()),
        Choice::End => Verdict::End(added()),
        Choice::Fail => Verdict::Fail(BY_FILTER.into()),
        Choice::Reject => Verdict::Reject(Box::new(Response::new("rejected".into()))),
    }
}

impl EventFilter for Planned {
    fn event(&mut self, event: EventRef<'_>) -> Verdict {
        for whole in [event.with_data(event.data()), event.to_encoded()] {
            assert_eq!(naive::read(whole.as_bytes()).place, Place::BetweenEvents, "{event:?}");
        }
        let mut log = self.log.lock().unwrap();
        let choice = self.plan.events.get(log.seen.len()).copied().unwrap_or(Choice::Pass);
        log.seen.push(naive::block(event));
        verdict(choice)
    }

    fn source_end(&mut self, end: SourceEnd<'_>) -> Verdict {
        self.log.lock().unwrap().source_ends.push(match end {
            SourceEnd::Clean => "clean",
            SourceEnd::MidEvent => "mid_event",
            SourceEnd::Failed(error) => {
                assert_eq!(error.to_string(), OF_SOURCE);
                "failed"
            }
            end => panic!("{end:?}"),
        });
        verdict(self.plan.source_end)
    }

    fn end(&mut self, end: &FilterEnd) {
        let mut log = self.log.lock().unwrap();
        assert_eq!(log.drops, log.ends.len(), "the end is reported before the drop");
        log.ends.push(end.clone());
    }
}

pub fn done(log: &Logged, sent: Vec<u8>, error: Option<String>) -> Expected {
    let outcome = outcome(log);
    let Log { seen, source_ends, ends, .. } = mem::take(&mut *log.lock().unwrap());
    let FilterEnd { events, bytes_sent, .. } = ends[0];
    assert_eq!((events, bytes_sent), (seen.len() as u64, sent.len() as u64));
    let known = [TOO_LARGE, BY_FILTER, REJECTED, OF_SOURCE];
    let error = error.map(|error| {
        known.into_iter().find(|known| error.contains(known)).unwrap_or_else(|| panic!("{error}"))
    });
    Expected { sent, error, outcome, seen, source_ends, ..Expected::default() }
}
