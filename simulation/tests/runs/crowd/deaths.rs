use std::time::Duration;

use tokio::time::sleep;

use super::{Crowd, Habit, key};
use crate::{
    calls::{AnswerEnd, Plan},
    process::Settings,
};

impl Crowd {
    /// A process dies that owns many runs, which clients read at another process. They are told in
    /// the documented time, and clients of other owners are not.
    pub(super) async fn lose_an_owner(&mut self) {
        let settings = Settings::choose_for_crowd(&mut self.rng);
        self.connect(|_| settings).await;
        let (dying, healthy) = (self.rng.usize(100..300), 10);
        let plan = Plan { events: 1_000, fails: false, delay: 60_000, size: 10 };
        let mut clients = Vec::new();
        for number in 0..dying + healthy {
            let owner = if number < dying { 0 } else { 2 };
            self.start(owner, number, key(number), plan).await.expect("nothing refuses it");
            clients.push(self.read(1, number, key(number), Habit::Prompt));
        }
        let lease = settings.lease;
        // A process that has just connected waits for longer.
        sleep(lease * 5 / 2).await;
        let network = self.world.network.clone();
        network.log(|| format!("*** the process dies that owns {dying} runs"));
        self.world.disturb(0);
        self.world.process(0).kill();
        let died = network.elapsed();
        let bound = lease + (lease * 3 / 8).max(Duration::from_millis(1_500)) + lease / 4;
        let others = clients.split_off(dying);
        let slack = Duration::from_secs(1);
        let readings = self.wait(clients, bound + Duration::from_secs(30), |_| {}).await;
        let last = readings.iter().flatten().map(|reading| reading.at - died).max().unwrap_or(0);
        let last = Duration::from_millis(last);
        if last > bound + slack {
            self.faults.push(format!(
                "the last of {dying} clients is told after {last:?}, and not {bound:?}"
            ));
        }
        let wrong = |end| !matches!(end, AnswerEnd::Failed(Some(_)));
        let wrong = readings.iter().flatten().find(|reading| wrong(reading.end));
        if let Some(wrong) = wrong {
            self.faults.push(format!("a client of a process that died: {wrong:?}"));
        }
        sleep(lease).await;
        let told = others.iter().filter(|client| client.is_finished()).count();
        let failed = self.world.failures_of(dying..dying + healthy);
        if told + failed > 0 {
            self.faults.push(format!(
                "{} of {healthy} clients of a process that lives are told",
                told + failed
            ));
        }
    }
}
