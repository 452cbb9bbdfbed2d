use std::time::Duration;

use tokio::time::sleep;
use tower_sse::runs::RunKey;

use super::{Crowd, Habit};
use crate::{calls::Plan, process::Settings};

impl Crowd {
    /// Runs with long names and little else come one after the other. Redis keeps no more of them
    /// than the limits allow.
    pub(super) async fn fill_redis(&mut self) {
        let settings = Settings::choose_for_crowd(&mut self.rng);
        let limit = self.rng.usize(200_000..600_000);
        let is_per_owner = self.rng.bool();
        let max_memory = if is_per_owner { 256 << 20 } else { limit };
        let max_memory_per_owner = is_per_owner.then_some(limit);
        self.connect(|_| Settings {
            max_memory,
            max_memory_per_owner,
            retain_bytes: 20_000,
            ..settings
        })
        .await;
        let length = self.rng.usize(1..500);
        let owner = "/".repeat(self.rng.usize(1..500));
        let plan = Plan { events: 1, fails: false, delay: 20, size: 10 };
        let network = self.world.network.clone();
        let mut most = 0;
        let mut clients = Vec::new();
        for number in 0..self.rng.usize(150..300) {
            let key = RunKey::new(&owner, &format!("{number}{}", "/".repeat(length))).unwrap();
            self.start(0, number, key.clone(), plan).await.expect("nothing refuses it");
            if self.rng.u8(..8) == 0 {
                clients.push(self.read(1, number, key, Habit::Prompt));
            }
            sleep(Duration::from_millis(50)).await;
            most = most.max(network.memory());
        }
        sleep(Duration::from_secs(5)).await;
        most = most.max(network.memory());
        network.log(|| format!("*** at most {most} bytes in Redis, now {}", network.memory()));
        if most > limit * 3 / 2 {
            self.faults.push(format!("Redis has {most} bytes, and the limit is {limit}"));
        }
        self.wait(clients, Duration::from_secs(60), |_| {}).await;
    }
}
