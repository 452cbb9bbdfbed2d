//! Searches the states breadth first.

use super::steps::steps;
use crate::*;

pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) steps: usize,
    /// The shortest trace to a state that breaks a promise, or whose client can't come to an end.
    pub(crate) violation: Option<String>,
}

/// The states, in the order in which they were found.
struct Graph {
    states: Vec<State>,
    /// For each state, the state from which it was first reached, and the step between the two.
    origins: Vec<(u32, &'static str, usize)>,
    /// The steps without a fault, each as the state after the step and the state before it.
    causes: Vec<(u32, u32)>,
}

/// Visits the states that the protocol can reach, breadth first, up to the first violation.
pub(crate) fn explore(protocol: Protocol, bounds: Bounds) -> Explored {
    let first = State::default();
    let (states, origins) = (vec![first], vec![(0, "begins", 0)]);
    let mut graph = Graph { states, origins, causes: Vec::new() };
    let mut numbers: HashMap<State, u32> = HashMap::from([(first, 0)]);
    let (mut taken, mut visited) = (0, 0);
    while visited < graph.states.len() {
        let state = graph.states[visited];
        let from = u32::try_from(visited).expect("few states");
        visited += 1;
        for step in steps(&state, protocol, bounds) {
            taken += 1;
            let new = u32::try_from(graph.states.len()).expect("few states");
            let number = *numbers.entry(step.next).or_insert(new);
            if !step.is_fault {
                graph.causes.push((number, from));
            }
            if number < new {
                continue;
            }
            graph.states.push(step.next);
            graph.origins.push((from, step.name, step.epoch));
            if let Some(violation) = step.next.violation() {
                let violation = Some(graph.trace(number, &violation));
                return Explored { states: graph.states.len(), steps: taken, violation };
            }
        }
    }
    let stuck = graph.stuck().map(|number| graph.trace(number, "no path to an end"));
    Explored { states: graph.states.len(), steps: taken, violation: stuck }
}

impl Graph {
    /// Returns the first state whose attached client can't come to an end by steps without faults.
    fn stuck(&mut self) -> Option<u32> {
        self.causes.sort_unstable();
        let has_ended = |state: &State| !matches!(state.client, Client::Attached { .. });
        let mut ends: Vec<_> = self.states.iter().map(has_ended).collect();
        let mut open: Vec<_> = (0..).zip(&ends).filter(|(_, ends)| **ends).map(|it| it.0).collect();
        while let Some(number) = open.pop() {
            let first = self.causes.partition_point(|(to, _)| *to < number);
            for (_, from) in self.causes[first..].iter().take_while(|(to, _)| *to == number) {
                if !std::mem::replace(&mut ends[*from as usize], true) {
                    open.push(*from);
                }
            }
        }
        ends.iter().position(|ends| !ends).map(|number| u32::try_from(number).unwrap())
    }

    fn trace(&self, mut number: u32, violation: &str) -> String {
        let mut lines = vec![violation.to_owned(), format!("{:?}", self.states[number as usize])];
        while number > 0 {
            let (from, name, epoch) = self.origins[number as usize];
            lines.push(format!("run {epoch} {name}"));
            number = from;
        }
        lines.reverse();
        lines.join("\n")
    }
}
