//! Where rows are fed to the hub.

use tokio::task::yield_now;
use tower_sse::hub::broker::Arrival;

use super::reader::{Before, Reader};
use crate::{
    clock::since_epoch,
    connection::{Kind, LogRow},
};

/// The number of rows that are fed before the reader yields to other tasks.
const ROWS_PER_POLL: usize = 100;

impl Reader {
    /// Feeds rows to the hub, and reports the holes between them.
    pub(super) async fn feed_rows(&mut self, mut before: Before, rows: Vec<LogRow>) {
        let mut rows = rows.into_iter();
        while rows.len() > 0 {
            before = self.feed_some(before, rows.by_ref().take(ROWS_PER_POLL));
            yield_now().await;
        }
    }

    /// Feeds rows without a pause. Returns the place after them.
    fn feed_some(&mut self, mut before: Before, rows: impl Iterator<Item = LogRow>) -> Before {
        let tracks = self.gate.ledger().needs_entries();
        let (mut tracked, mut mark) = (Vec::new(), 0);
        for row in rows {
            if !before.explains(&row) {
                // No mark is needed for these rows: every process that has not read them finds the
                // same hole.
                self.gate.ledger().forgive_before(row.number());
                self.report_loss(row.number().saturating_sub(1));
            }
            self.last = row.identity;
            tracked.extend(tracks.then_some(row.identity));
            if matches!(row.kind, Kind::Loss) {
                mark = row.number();
            }
            self.feed_row(row);
            before = Before::Row(self.last.number);
            self.rows += 1;
        }
        let mut ledger = self.gate.ledger();
        ledger.pass(&tracked, self.last.number);
        ledger.cover(mark);
        before
    }

    /// Feeds a row. Once the hub is closed, this does nothing, and the task ends at its next `await`.
    fn feed_row(&mut self, row: LogRow) {
        let (number, age) = (row.number(), self.age_of(row.at));
        match row.kind {
            Kind::Event { topic, event, ends_topic } => {
                let arrival = Arrival::new(number, since_epoch(row.at), age).ends_topic(ends_topic);
                _ = self.feed.event(arrival, &topic, &event);
            }
            Kind::Loss | Kind::Foreign => self.report_loss(number),
            Kind::Leap(_) => {}
        }
    }
}
