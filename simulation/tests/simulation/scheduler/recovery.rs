use crate::*;

/// The time in which every hub must follow and accept events after the faults have ended.
const RECOVERY: Duration = Duration::from_secs(15);
/// The time that a hub takes to skip an entry that its link does not carry. A hub that loads reaches
/// the entry in up to five sessions, because its batches double in each, and tries it in three.
const SKIP: Duration = Duration::from_secs(45);
/// The time in which an event must reach all clients when there are no faults.
const DELIVERY: Duration = Duration::from_secs(3);

/// What must hold after the faults have ended.
impl Scheduler {
    /// Waits until every hub accepts events, and every client receives them.
    pub(super) async fn recover(&mut self) -> Vec<String> {
        sleep(RECOVERY + self.slow.map_or(Duration::ZERO, |_| SKIP)).await;
        let hubs = 0..self.processes.len();
        let mut last = Vec::new();
        for hub in hubs.clone() {
            for topic in 0..self.topics {
                last.push((hub, self.publish_at(hub, topic, false)));
            }
        }
        for client in &mut self.clients {
            if client.life().is_none() {
                let hub = self.rng.usize(hubs.clone());
                client.resume(&self.network, &self.processes[hub]);
            }
        }
        sleep(DELIVERY).await;
        self.receive();
        let events = self.publications.lock();
        let failures = last.into_iter().filter_map(|(hub, number)| {
            let result = number.map(|number| events[number].result);
            let is_acknowledged = matches!(result, Some(Published::Acknowledged { .. }));
            (!is_acknowledged).then(|| format!("hub {hub} has not recovered: {result:?}"))
        });
        let mut failures: Vec<_> = failures.collect();
        if self.network.is_exhausted() {
            failures.insert(0, "the hubs repeat commands for ever".to_owned());
        }
        failures
    }

    fn receive(&mut self) {
        self.clients.iter_mut().for_each(|client| client.receive(&self.network, usize::MAX));
    }

    /// Publishes nothing until all entries but the newest are trimmed. Returns the time in which no
    /// client may receive a gap.
    pub(super) async fn stay_quiet(&mut self, age: Duration) -> Range<u64> {
        let began = self.network.elapsed();
        sleep(age + DELIVERY).await;
        self.receive();
        let ended = self.network.elapsed();
        // The next event lets the one before it be trimmed. A process that is not waiting at that
        // moment reports a gap, because it does not know whether there were others.
        self.publish();
        sleep(DELIVERY).await;
        self.receive();
        began + 1..ended + 1
    }

    /// Lets each client miss an event, which it receives from any hub. Returns the time in which no
    /// client may receive a gap.
    pub(super) async fn miss_nothing(&mut self) -> Range<u64> {
        let began = self.network.elapsed();
        self.clients.iter_mut().for_each(Client::cut);
        for topic in 0..self.topics {
            let hub = self.choose_hub();
            self.publish_at(hub, topic, false);
        }
        sleep(DELIVERY).await;
        for client in &mut self.clients {
            let hub = self.rng.usize(..self.processes.len());
            client.resume(&self.network, &self.processes[hub]);
        }
        began + 1..u64::MAX
    }
}
