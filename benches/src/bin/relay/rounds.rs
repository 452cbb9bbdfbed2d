use tower_sse_benches::sockets::{median, record::extremes};

use crate::*;

/// Runs all cases `rounds` times.
pub fn run(rounds: usize) -> Record<Case> {
    let subjects = Subject::ALL.map(|(_, subject)| subject);
    let subjects = || subjects.into_iter().filter(|subject| subject.is_installed());
    let cases = Pace::ALL
        .into_iter()
        .flat_map(|(_, pace)| subjects().map(move |subject| Case { subject, pace }));
    Record::run(cases, rounds, |_, _| false)
}

impl Columns for Case {
    const COLUMNS: &'static str = "subject,pace";

    fn csv(&self) -> String {
        format!("{},{}", self.subject.name(), self.pace.name())
    }
}

/// Returns the processor time of `one` divided by that of `other` in the same round: the median, the
/// minimum and the maximum of all rounds.
pub fn ratio(record: &Record<Case>, one: Case, other: Case) -> Option<[f64; 3]> {
    let ratios = record.ratios(one, other, |row: &Row| Some(row.cpu));
    let [minimum, maximum] = extremes(&ratios)?;
    Some([median(ratios)?, minimum, maximum])
}
