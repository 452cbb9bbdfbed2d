use std::time::Duration;

use tokio::time::sleep;

use super::{Crowd, Habit, key};
use crate::{
    calls::{AnswerEnd, Plan},
    process::Settings,
};

/// The process with little memory.
const SMALL: usize = 1;
/// How much more than the limit a process may have for a moment, in bytes: a batch and its events.
const EXCESS: usize = 128 << 10;

impl Crowd {
    /// Clients at one process do not read large runs of others. The runs of that process have the
    /// memory that they need.
    pub(super) async fn leave_answers_unread(&mut self) {
        let settings = Settings::choose_for_crowd(&mut self.rng);
        let limit = self.rng.usize(400_000..1_000_000);
        let retain_bytes = limit / 10;
        self.connect(|process| Settings {
            retain_bytes,
            max_memory: if process == SMALL { limit } else { 256 << 20 },
            ..settings
        })
        .await;
        let others = self.rng.usize(16..40);
        let events = self.rng.usize(4..20);
        let size = retain_bytes * 8 / 10 / events;
        let plan = Plan { events: events as u64, fails: false, delay: 0, size };
        for number in 0..others {
            let owner = [0, 2][self.rng.usize(..2)];
            self.start(owner, number, key(number), plan).await.expect("nothing refuses it");
        }
        sleep(Duration::from_secs(3)).await;
        let network = self.world.network.clone();
        network.log(|| format!("*** {others} runs of {events} x {size} bytes, limit {limit}"));
        let until = network.elapsed() + self.rng.u64(5_000..20_000);
        let idle = (0..others)
            .map(|number| self.read(SMALL, number, key(number), Habit::IdleUntil(until)));
        let idle: Vec<_> = idle.collect();
        let mut own = Vec::new();
        let few = Plan { events: 20, fails: false, delay: 200, size: retain_bytes / 25 };
        for number in others..others + self.rng.usize(2..6) {
            sleep(Duration::from_millis(self.rng.u64(..2_000))).await;
            match self.start(SMALL, number, key(number), few).await {
                Ok(_) => own.push(self.read(SMALL, number, key(number), Habit::Prompt)),
                Err(error) => self.faults.push(format!("an own run is refused: {error}")),
            }
        }
        let mut since = None;
        let mut most = 0;
        let watch = |crowd: &mut Self| {
            let memory = crowd.runs(SMALL).stats().memory;
            let now = crowd.world.network.elapsed();
            let begin = *since.get_or_insert(now);
            if memory <= limit + EXCESS {
                since = None;
            } else if now - begin > 1_000 {
                most = memory.max(most);
            }
        };
        let own = self.wait(own, Duration::from_secs(60), watch).await.unwrap_or_default();
        if most > 0 {
            self.faults.push(format!("{most} bytes of memory, and the limit is {limit}"));
        }
        for reading in own {
            if reading.end != AnswerEnd::Whole || reading.failed > 0 {
                self.faults.push(format!("a client of an own run: {reading:?}"));
            }
        }
        // Who reads on loads again.
        let idle = self.wait(idle, Duration::from_secs(120), |_| {}).await.unwrap_or_default();
        for reading in idle {
            if reading.end != AnswerEnd::Whole {
                self.faults.push(format!("a client that reads on: {reading:?}"));
            }
        }
    }
}
