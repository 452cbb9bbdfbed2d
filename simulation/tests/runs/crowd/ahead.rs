use std::time::Duration;

use tokio::time::sleep;

use super::{Crowd, Habit, key};
use crate::{calls::Plan, process::Settings};

/// The maximum number of requests that wait for an event of one run.
const MAX_WAITERS: usize = 16;

impl Crowd {
    /// Many clients at one process ask for events of a run that there are not yet.
    pub(super) async fn forge_ids(&mut self) {
        let settings = Settings::choose_for_crowd(&mut self.rng);
        self.connect(|_| settings).await;
        let plan = Plan { events: 30, fails: false, delay: 1_000, size: 10 };
        self.start(0, 0, key(0), plan).await.expect("nothing refuses it");
        let reader = self.read(1, 0, key(0), Habit::Prompt);
        while self.world.records().answers[0].events.is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
        let (asking, is_same) = (self.rng.u64(20..100), self.rng.u8(..4) == 0);
        let forged = (0..asking).map(|number| {
            let sequence = if is_same { 1_000 } else { 1_000 - number };
            self.read(1, 0, key(0), Habit::Forges(sequence))
        });
        let forged: Vec<_> = forged.collect();
        let commands = self.world.network.commands();
        sleep(Duration::from_millis(500)).await;
        let commands = self.world.network.commands() - commands;
        let waiting = forged.iter().filter(|client| !client.is_finished()).count();
        self.world.network.log(|| format!("*** {waiting} of {asking} wait, {commands} commands"));
        if waiting > MAX_WAITERS {
            self.faults
                .push(format!("{waiting} of {asking} requests wait for events that there are not"));
        }
        self.wait(forged, Duration::from_secs(30), |_| {}).await;
        self.wait(vec![reader], Duration::from_secs(60), |_| {}).await;
    }
}
