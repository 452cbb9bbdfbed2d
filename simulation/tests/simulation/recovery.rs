use crate::*;

/// The time in which every hub must follow and accept events after the faults have ended.
const RECOVERY: u64 = 15_000;
/// The time that a hub takes to skip an entry that its link does not carry. A hub that loads the
/// stream may need five sessions to reach the entry, and then tries it in three.
const SKIP: u64 = 45_000;
/// The time in which an event must reach all clients when there are no faults.
const DELIVERY: u64 = 3_000;

/// What must hold after the faults have ended.
impl Hubs {
    /// Lets time pass, then publishes an event of each topic in every hub, for all clients. Returns
    /// which hubs have not recovered, and whether there were too many commands.
    pub(crate) async fn recover(&mut self) -> Vec<String> {
        self.world.pass(RECOVERY + self.slow.map_or(0, |_| SKIP)).await;
        let mut last = Vec::new();
        for hub in 0..self.world.processes.len() {
            for topic in 0..self.topics {
                last.push((hub, self.world.publish(hub, topic, false)));
            }
        }
        for client in 0..self.world.clients.len() {
            if self.world.clients[client].life().is_none() {
                let hub = self.any_hub();
                self.world.resume(client, hub);
            }
        }
        self.world.pass(DELIVERY).await;
        let events = self.world.publications.lock().unwrap();
        let failures = last.into_iter().filter_map(|(hub, number)| {
            let event = number.map(|number| &events[number]);
            let is_acknowledged = event.is_some_and(|event| event.acknowledged().is_some());
            (!is_acknowledged).then(|| format!("hub {hub} has not recovered: {event:?}"))
        });
        self.network.exhaustion().into_iter().chain(failures).collect()
    }

    /// Publishes nothing until all entries but the newest are trimmed. Returns the time in which no
    /// client may receive a gap.
    pub(crate) async fn stay_quiet(&mut self, age: Duration) -> Range<u64> {
        let began = self.network.elapsed();
        sleep(age).await;
        self.world.pass(DELIVERY).await;
        let ended = self.network.elapsed();
        // The next event lets the one before it be trimmed. A process that is not waiting at that
        // moment reports a gap, because it does not know whether other events were trimmed.
        self.publish();
        self.world.pass(DELIVERY).await;
        began + 1..ended + 1
    }

    /// Publishes an event of each topic while the clients are cut, and lets them resume at any hub.
    /// Returns the time in which no client may receive a gap.
    pub(crate) async fn miss_nothing(&mut self) -> Range<u64> {
        let began = self.network.elapsed();
        self.world.clients.iter_mut().for_each(Client::cut);
        for topic in 0..self.topics {
            let hub = self.choose_hub();
            self.world.publish(hub, topic, false);
        }
        sleep(Duration::from_millis(DELIVERY)).await;
        for client in 0..self.world.clients.len() {
            let hub = self.any_hub();
            self.world.resume(client, hub);
        }
        began + 1..u64::MAX
    }
}
