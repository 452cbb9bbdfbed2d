use std::time::Duration;

use tokio::time::sleep;

use super::{Crowd, Habit, key};
use crate::{
    calls::{AnswerEnd, Plan},
    process::Settings,
};

/// The process whose link is slow.
const SLOW: usize = 1;

impl Crowd {
    /// Many clients at one process load large runs of another one at the same time. What does not
    /// belong to the loads is as quick as without them.
    pub(super) async fn share_a_slow_link(&mut self) {
        let settings = Settings::choose_for_crowd(&mut self.rng);
        self.connect(|_| settings).await;
        let runs = self.rng.usize(8..24);
        let bandwidth = self.rng.u64(300_000..2_000_000);
        let seconds = self.rng.u64(3..8);
        let of_each = usize::try_from(bandwidth * seconds).unwrap() / runs;
        let events = self.rng.usize(8..40).max(of_each / 60_000);
        let size = of_each / events;
        let plan = Plan { events: events as u64, fails: false, delay: 0, size };
        for number in 0..runs {
            self.start(0, number, key(number), plan).await.expect("nothing refuses it");
        }
        // A run of many entries, with which pages grow.
        let large = Plan { events: 80, fails: false, delay: 0, size: 60_000 };
        self.start(0, runs, key(runs), large).await.expect("nothing refuses it");
        // Their ends are in Redis.
        sleep(Duration::from_secs(5)).await;
        let first = self.read(SLOW, runs, key(runs), Habit::Prompt);
        self.wait(vec![first], Duration::from_secs(30), |_| {}).await;
        let network = self.world.network.clone();
        network.log(|| format!("*** {runs} runs of {of_each} bytes over {bandwidth} a second"));
        network.limit_bandwidth(SLOW, bandwidth);
        let mut clients = Vec::new();
        for number in 0..runs {
            let leaves = if self.rng.bool() { self.rng.u32(..3) } else { 0 };
            clients.push(self.read(SLOW, number, key(number), Habit::Leaves(leaves)));
        }
        let mut refused = 0;
        let small = Plan { events: 3, fails: false, delay: 100, size: 20 };
        for number in runs + 1..runs + 1 + usize::try_from(seconds).unwrap() {
            let before = network.elapsed();
            match self.start(SLOW, number, key(number), small).await {
                Ok(_) if network.elapsed() - before < 1_000 => {}
                _ => refused += 1,
            }
            sleep(Duration::from_millis(500)).await;
        }
        if refused > 0 {
            self.faults.push(format!("{refused} of {seconds} starts are refused or late"));
        }
        let within = Duration::from_secs(3 * seconds + 15);
        let readings = self.wait(clients, within, |_| {}).await.unwrap_or_default();
        for (number, reading) in readings.iter().enumerate() {
            if reading.end != AnswerEnd::Whole || reading.refused + reading.failed > 0 {
                self.faults.push(format!("client {number} has met its run so: {reading:?}"));
            }
        }
    }
}
