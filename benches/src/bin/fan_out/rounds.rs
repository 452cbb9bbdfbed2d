use crate::*;

/// The number of rounds for cases that are an order of magnitude slower.
const FEW: usize = 3;

/// Runs all cases `rounds` times.
pub fn run(rounds: usize) -> Record<Case> {
    Record::run(cases(), rounds, |round, case| round > FEW && case.subject.is_foreign())
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
