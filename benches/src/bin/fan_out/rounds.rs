use crate::{
    regime::Regime,
    row::{Case, Row},
    subject::Subject,
};

/// The number of rounds for cases that are an order of magnitude slower.
const FEW: usize = 3;

/// The results of all rounds.
pub struct Record {
    pub cases: Vec<(Case, Vec<Result<Row, String>>)>,
}

/// Runs all cases `rounds` times, interleaved, so that other load on the machine affects all cases
/// alike.
pub fn run(rounds: usize) -> Record {
    let mut record = Record { cases: cases().into_iter().map(|case| (case, vec![])).collect() };
    println!("round,{},{}", Case::COLUMNS, Row::COLUMNS);
    for round in 1..=rounds {
        for (case, rows) in &mut record.cases {
            if round > FEW && case.subject.is_foreign() {
                continue;
            }
            let row = case.measure().map_err(|error| error.to_string().replace(',', ";"));
            match &row {
                Ok(row) => println!("{round},{},{}", case.csv(), row.csv()),
                Err(void) => println!("{round},{},void: {void}", case.csv()),
            }
            rows.push(row);
        }
    }
    record
}

/// Returns the cases; those that are compared are adjacent.
fn cases() -> Vec<Case> {
    let all_subjects = Subject::ALL.map(|(_, subject)| subject);
    let ours = [Subject::Hub, Subject::Axum];
    let mut cases = Vec::new();
    let mut add = |regime, subscribers, subjects: &[Subject]| {
        cases.extend(subjects.iter().map(|&subject| Case { subject, regime, subscribers }));
    };
    for regime in [Regime::Saturated, Regime::Bursts, Regime::Paced] {
        add(regime, 1_000, &all_subjects);
    }
    for regime in [Regime::Saturated, Regime::Bursts] {
        add(regime, 5_000, &ours);
    }
    add(Regime::Latency, 1, &ours);
    for subject in ours {
        for regime in [Regime::Stalled, Regime::Unstalled] {
            add(regime, 1_000, &[subject]);
        }
    }
    cases
}

impl Record {
    /// Returns the valid rows of a case, in the order of their rounds.
    pub fn rows(&self, case: Case) -> impl Iterator<Item = &Row> {
        let rows = self.cases.iter().filter(move |(other, _)| *other == case);
        rows.flat_map(|(_, rows)| rows.iter().flatten())
    }

    /// Returns the median of a figure, if any row has it.
    pub fn median(&self, case: Case, figure: fn(&Row) -> Option<f64>) -> Option<f64> {
        median(self.rows(case).filter_map(figure).collect())
    }
}

pub fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}
