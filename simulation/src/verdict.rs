use std::{collections::BTreeMap, fmt};

/// What an oracle found in one simulation, or in several.
#[derive(Debug, Default)]
pub struct Verdict {
    /// How often each thing happened, by its name.
    counts: BTreeMap<&'static str, usize>,
    /// The guarantees that were broken.
    pub faults: Vec<String>,
}

impl Verdict {
    pub fn count(&mut self, what: &'static str, times: usize) {
        *self.counts.entry(what).or_default() += times;
    }

    pub fn of(&self, what: &str) -> usize {
        self.counts.get(what).copied().unwrap_or(0)
    }

    pub fn add(&mut self, other: Self) {
        other.counts.into_iter().for_each(|(what, times)| self.count(what, times));
        self.faults.extend(other.faults);
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<_> =
            self.counts.iter().map(|(what, times)| format!("{times} {what}")).collect();
        f.write_str(&counts.join(", "))
    }
}
