use tokio::time::Instant;

use super::{EventFilter, FilterEnd, Outcome, SourceEnd, Verdict};
use crate::{BoxError, EventRef, callback::catch_panic};

/// A filter whose end is reported exactly once.
pub(super) struct FilterGuard<F: EventFilter> {
    /// The filter, until its end has been reported.
    filter: Option<F>,
    /// The counts so far.
    pub(super) report: FilterEnd,
    start: Option<Instant>,
    /// The filter, the source or the service is being called. The caller sets it back to `false`; after
    /// a panic it stays `true`.
    pub(super) is_calling: bool,
}

impl<F: EventFilter> FilterGuard<F> {
    /// Creates the guard. Without a clock, the report has no times.
    pub(super) fn new(filter: F, has_clock: bool) -> Self {
        Self {
            filter: Some(filter),
            report: FilterEnd::default(),
            start: has_clock.then(Instant::now),
            is_calling: false,
        }
    }

    /// Notes that code of the program is about to be called. Returns an error if such code has
    /// panicked before.
    #[inline]
    pub(super) fn enter(&mut self) -> Result<(), BoxError> {
        if self.is_calling {
            self.end(Outcome::Panicked);
            return Err("event stream panicked".into());
        }
        self.is_calling = true;
        Ok(())
    }

    /// Shows an event to the filter.
    #[inline]
    pub(super) fn event(&mut self, event: EventRef<'_>) -> Verdict {
        self.report.events += 1;
        // With `map_or`, dropping the unused verdict would be a call.
        match &mut self.filter {
            Some(filter) => filter.event(event),
            None => Verdict::Pass,
        }
    }

    pub(super) fn source_end(&mut self, end: SourceEnd<'_>) -> Verdict {
        self.filter.as_mut().map_or(Verdict::Pass, |filter| filter.source_end(end))
    }

    /// Reports the end, unless it has been reported, and drops the filter.
    pub(super) fn end(&mut self, outcome: Outcome) {
        let Some(mut filter) = self.filter.take() else { return };
        self.report.outcome = outcome;
        self.report.age = self.start.map(|start| start.elapsed()).unwrap_or_default();
        catch_panic(|| filter.end(&self.report));
        catch_panic(|| drop(filter));
    }
}

impl<F: EventFilter> Drop for FilterGuard<F> {
    fn drop(&mut self) {
        self.end(if self.is_calling { Outcome::Panicked } else { Outcome::Disconnected });
    }
}
