use std::{fmt::Write as _, fs, io, path::Path};

use super::median;

/// What is written as cells of a table.
pub trait Columns {
    /// The names of the columns, separated by commas.
    const COLUMNS: &'static str;

    fn csv(&self) -> String;
}

/// What a benchmark measures once in each round.
pub trait Measured: Columns + Copy + PartialEq {
    type Row: Columns;

    /// Runs the case. An error is the reason why the run is invalid.
    fn measure(self) -> io::Result<Self::Row>;
}

/// A case with its rows, in the order of their rounds. An invalid run has the reason.
type Rows<C> = (C, Vec<Result<<C as Measured>::Row, String>>);

/// The results of all rounds.
pub struct Record<C: Measured> {
    pub cases: Vec<Rows<C>>,
}

impl<C: Measured> Record<C> {
    /// Runs all cases `rounds` times, interleaved, so that other load on the machine affects all
    /// cases alike. Every other round runs them in the reverse order. `is_left_out` says which cases
    /// a round leaves out.
    pub fn run(
        cases: impl IntoIterator<Item = C>,
        rounds: usize,
        is_left_out: impl Fn(usize, C) -> bool,
    ) -> Self {
        let mut record = Self { cases: cases.into_iter().map(|case| (case, vec![])).collect() };
        println!("round,{},{}", C::COLUMNS, C::Row::COLUMNS);
        for round in 1..=rounds {
            let mut run = |(case, rows): &mut Rows<C>| {
                if is_left_out(round, *case) {
                    return;
                }
                let row = case.measure().map_err(|error| error.to_string().replace(',', ";"));
                match &row {
                    Ok(row) => println!("{round},{},{}", case.csv(), row.csv()),
                    Err(void) => println!("{round},{},void: {void}", case.csv()),
                }
                rows.push(row);
            };
            if round.is_multiple_of(2) {
                record.cases.iter_mut().rev().for_each(&mut run);
            } else {
                record.cases.iter_mut().for_each(&mut run);
            }
        }
        record
    }

    /// Returns the rows of a case in the order of their rounds.
    pub fn rows(&self, case: C) -> &[Result<C::Row, String>] {
        let rows = self.cases.iter().find(|(other, _)| *other == case);
        rows.map_or(&[], |(_, rows)| rows)
    }

    /// Returns the median of a figure, if any valid row has it.
    pub fn median(&self, case: C, figure: impl FnMut(&C::Row) -> Option<f64>) -> Option<f64> {
        median(self.rows(case).iter().flatten().filter_map(figure).collect())
    }

    /// Returns the ratio of a figure of two cases in each round in which both have it.
    pub fn ratios(&self, one: C, other: C, figure: impl Fn(&C::Row) -> Option<f64>) -> Vec<f64> {
        let rounds = self.rows(one).iter().zip(self.rows(other));
        let figure = |row: &Result<C::Row, String>| figure(row.as_ref().ok()?);
        rounds.filter_map(|(one, other)| Some(figure(one)? / figure(other)?)).collect()
    }

    /// Writes `OUT.csv` with every run, and `OUT.md` with this page.
    pub fn write(&self, out: &Path, page: &str) {
        for (extension, text) in [("csv", &*self.csv()), ("md", page)] {
            let path = out.with_extension(extension);
            fs::write(&path, text).expect("a file written");
            println!("{}", path.display());
        }
    }

    fn csv(&self) -> String {
        let mut text = format!("round,{},{},void\n", C::COLUMNS, C::Row::COLUMNS);
        let empty = ",".repeat(C::Row::COLUMNS.split(',').count());
        for (case, rows) in &self.cases {
            for (round, row) in (1..).zip(rows) {
                let figures = match row {
                    Ok(row) => format!("{},", row.csv()),
                    Err(void) => format!("{empty}{void}"),
                };
                _ = writeln!(text, "{round},{},{figures}", case.csv());
            }
        }
        text
    }
}

/// Returns the smallest and the largest figure.
pub fn extremes(figures: &[f64]) -> Option<[f64; 2]> {
    let least = figures.iter().copied().reduce(f64::min)?;
    Some([least, figures.iter().copied().fold(least, f64::max)])
}
