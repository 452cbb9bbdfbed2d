use std::collections::BTreeMap;
use std::{mem, time::Duration};

use tokio::time::Instant;
use tower_sse::runs::__private::Epoch;

use crate::runs::seam::{DeadProcess, ProcessId};

/// The number of beats in a lease. A process whose counter another process finds unchanged at this
/// many beats in a row is dead.
pub(super) const BEATS: u32 = 5;
/// The number of beats after which an absent process is forgotten.
const FORGOTTEN: u32 = 4 * BEATS;

/// The processes that share runs, as this process sees them. Each increments a counter in the
/// store.
///
/// No clock decides which process is dead. A process counts how many of its own reads in a row
/// found a counter unchanged, so a server that pauses, or sets its clock, ends no run.
#[derive(Debug)]
pub(super) struct Heartbeat {
    lease: Duration,
    counter: u64,
    others: BTreeMap<ProcessId, Other>,
    /// The token of the time in which owners restore their claims, and when this process first saw
    /// it.
    restoring: Option<(String, Instant)>,
}

#[derive(Debug, Default)]
struct Other {
    /// Its counter, or the name of its heir. `None` if the store does not list it.
    seen: Option<String>,
    /// The number of reads in a row that found `seen` unchanged.
    still: u32,
}

/// What a beat has found.
#[derive(Debug, Default)]
pub(super) struct HeardBeat {
    /// The processes that are dead and have no living heir other than this process.
    pub(super) dead: Vec<DeadProcess>,
    /// Whether another process has declared this one dead, or the store has lost its counter.
    pub(super) is_gone: bool,
    /// The runs of this process that others have asked to stop or have replaced.
    pub(super) asked: Vec<Epoch>,
}

impl Heartbeat {
    pub(super) const fn new(lease: Duration) -> Self {
        Self { lease, counter: 0, others: BTreeMap::new(), restoring: None }
    }

    /// Begins to count again in a new session: the other processes may not have reached the server
    /// yet.
    pub(super) fn begin(&mut self) {
        self.others.values_mut().for_each(|other| other.still = 0);
    }

    /// Returns what a process writes with its next beat: the counter, and the token of the time in
    /// which owners restore their claims if this time is over, or an empty text.
    pub(super) fn next(&mut self) -> (u64, String) {
        self.counter += 1;
        let over = self.restoring.as_ref().filter(|(_, since)| since.elapsed() >= self.lease);
        (self.counter, over.map(|(token, _)| token.clone()).unwrap_or_default())
    }

    /// Applies the reply of `lua/beat.lua`.
    pub(super) fn apply(&mut self, own: &ProcessId, reply: Vec<String>) -> HeardBeat {
        let mut reply = reply.into_iter().skip(1);
        let token = reply.next().unwrap_or_default();
        if self.restoring.as_ref().is_none_or(|(known, _)| *known != token) {
            self.restoring = (!token.is_empty()).then(|| (token, Instant::now()));
        }
        let is_gone = reply.next().is_some_and(|gone| gone == "1");
        let asked = reply.next().unwrap_or_default();
        let asked = asked.split_whitespace().filter_map(Epoch::parse).collect();
        let mut listed = BTreeMap::new();
        while let (Some(name), Some(seen)) = (reply.next(), reply.next()) {
            listed.insert(ProcessId::from_claim(&name), seen);
        }
        listed.remove(own);
        let absent = mem::take(&mut self.others).into_iter();
        let mut others: BTreeMap<_, _> =
            absent.map(|(id, other)| (id.clone(), other.read(listed.remove(&id)))).collect();
        others.retain(|_, other| other.seen.is_some() || other.still < FORGOTTEN);
        let new = listed.into_iter().map(|(id, seen)| (id, Other { seen: Some(seen), still: 0 }));
        others.extend(new);
        self.others = others;
        let dead = self.others.iter().filter_map(|(id, other)| {
            let seen = other.seen.clone().unwrap_or_default();
            // Most processes that are not listed any more had an heir. The others get one once.
            let can_be_new = other.seen.is_some() || other.still == BEATS;
            let needs_heir = other.still >= BEATS && can_be_new && !self.lives(&seen);
            let is_inherited = seen == own.as_str();
            (needs_heir || is_inherited).then(|| DeadProcess { id: id.clone(), seen })
        });
        HeardBeat { dead: dead.collect(), is_gone, asked }
    }

    /// Returns whether a process with this name is known and not dead.
    fn lives(&self, name: &str) -> bool {
        self.others.get(&ProcessId::from_claim(name)).is_some_and(|other| !other.is_dead())
    }

    /// Returns whether a process is dead. If the store does not list it, the answer is `true` only
    /// once the beats of a lease, counted from the first such call, have not found it.
    pub(super) fn is_dead(&mut self, id: &ProcessId) -> bool {
        self.others.entry(id.clone()).or_default().is_dead()
    }
}

impl Other {
    fn read(self, seen: Option<String>) -> Self {
        let still = if self.seen == seen { self.still.saturating_add(1) } else { 0 };
        Self { seen, still }
    }

    /// Returns whether nothing has changed for a lease, or whether the process has an heir.
    fn is_dead(&self) -> bool {
        let has_heir = self.seen.as_ref().is_some_and(|seen| seen.parse::<u64>().is_err());
        has_heir || self.still >= BEATS
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::{BEATS, FORGOTTEN, Heartbeat};
    use crate::runs::seam::ProcessId;

    const LEASE: Duration = Duration::from_secs(8);

    /// Applies a reply with this token and these processes. Returns the dead ones.
    fn beat(heartbeat: &mut Heartbeat, token: &str, processes: &[(&str, &str)]) -> Vec<String> {
        let mut reply = vec!["joined", token, "0", "", "own", "7"];
        reply.extend(processes.iter().flat_map(|(name, seen)| [name, seen]));
        let reply = reply.into_iter().map(Into::into).collect();
        let found = heartbeat.apply(&ProcessId::from_claim("own"), reply);
        found.dead.into_iter().map(|dead| format!("{} {}", dead.id.as_str(), dead.seen)).collect()
    }

    fn is_dead(heartbeat: &mut Heartbeat, name: &str) -> bool {
        heartbeat.is_dead(&ProcessId::from_claim(name))
    }

    #[test]
    fn counter_that_stands_still_for_five_reads_shows_a_death() {
        let mut heartbeat = Heartbeat::new(LEASE);
        for number in 0..=BEATS {
            let moving = format!("{number}");
            let dead = beat(&mut heartbeat, "", &[("p", "3"), ("q", &moving), ("r", "4")]);
            let expected = if number == BEATS { vec!["p 3", "r 4"] } else { vec![] };
            assert_eq!(dead, expected, "{number}");
        }
        assert!(is_dead(&mut heartbeat, "p") && !is_dead(&mut heartbeat, "q"));
        // A new session gives all of them time to reach the server.
        heartbeat.begin();
        assert!(!is_dead(&mut heartbeat, "p"));
        assert_eq!(beat(&mut heartbeat, "", &[("p", "3"), ("q", "9")]), [""; 0]);
    }

    #[test]
    fn dead_process_has_one_heir_until_that_one_dies() {
        let mut heartbeat = Heartbeat::new(LEASE);
        for number in 0..20 {
            let counter = format!("{number}");
            assert_eq!(beat(&mut heartbeat, "", &[("p", "q"), ("q", &counter)]), [""; 0]);
        }
        assert!(is_dead(&mut heartbeat, "p"));
        for number in 0..=BEATS {
            let dead = beat(&mut heartbeat, "", &[("p", "q"), ("q", "20")]);
            let expected = if number == BEATS { vec!["p q", "q 20"] } else { vec![] };
            assert_eq!(dead, expected);
        }
        assert_eq!(beat(&mut heartbeat, "", &[("p", "own"), ("q", "21")]), ["p own"], "inherited");
    }

    #[test]
    fn process_that_is_not_listed_is_dead_after_a_lease() {
        let (mut heartbeat, mut dead) = (Heartbeat::new(LEASE), Vec::new());
        for _ in 0..BEATS {
            assert!(!is_dead(&mut heartbeat, "p"));
            dead = beat(&mut heartbeat, "", &[]);
        }
        assert_eq!(dead, ["p "]);
        assert!(is_dead(&mut heartbeat, "p"));
        (0..FORGOTTEN).for_each(|_| _ = beat(&mut heartbeat, "", &[]));
        assert!(heartbeat.others.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn restoring_is_over_a_lease_after_it_was_first_seen() {
        let mut heartbeat = Heartbeat::new(LEASE);
        for token in ["a", "b"] {
            beat(&mut heartbeat, token, &[]);
            advance(LEASE / 2).await;
            beat(&mut heartbeat, token, &[]);
            assert_eq!(heartbeat.next().1, "");
            advance(LEASE / 2).await;
            assert_eq!(heartbeat.next().1, token);
        }
        beat(&mut heartbeat, "", &[]);
        assert_eq!(heartbeat.next().1, "");
    }
}
