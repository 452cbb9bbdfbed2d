//! The processes of the model: one hub, or two on a broker, each beside its naive hub.

use crate::*;

/// A hub under test, and its naive hub.
pub(crate) struct Process {
    pub(crate) hub: Hub,
    pub(crate) naive: Naive,
    is_closed: bool,
    is_paused: bool,
    /// What the broker has not passed on to this process yet.
    delayed: Vec<Received>,
}

pub(crate) struct World {
    broker: Option<MemoryBroker>,
    pub(crate) processes: Vec<Process>,
    /// What a process that connects now receives.
    history: Vec<Received>,
    /// The newest sequence number that is assigned.
    pub(crate) newest: u64,
    now: u64,
}

fn builder(limits: Limits) -> HubBuilder {
    let Limits { events, bytes, age, memory } = limits;
    let retention = Retention::new().events(events).bytes(bytes).age(Duration::from_millis(age));
    Hub::builder()
        .retention(Retention::new().events(1))
        .retention_of(move |_| Some(retention))
        .max_memory(memory)
}

impl Process {
    fn new(hub: Hub, limits: Limits) -> Self {
        let naive = Naive::new(limits);
        Self { hub, naive, is_closed: false, is_paused: false, delayed: Vec::new() }
    }

    fn receive(&mut self, received: Received) {
        if self.is_paused {
            self.delayed.push(received);
        } else if !self.is_closed {
            self.naive.receive(&self.hub, &[received]);
        }
    }
}

impl World {
    pub(crate) fn in_process(limits: Limits) -> Self {
        Self {
            broker: None,
            processes: vec![Process::new(builder(limits).build(), limits)],
            history: Vec::new(),
            newest: 0,
            now: 0,
        }
    }

    pub(crate) fn id(&self, sequence: u64) -> LastEventId {
        id(&self.processes[0].hub, sequence)
    }

    pub(crate) async fn publish(&mut self, process: usize, topic: usize, len: usize) {
        let data = format!("{}{}", TOPICS[topic], "x".repeat(len));
        let Process { hub, naive, is_closed, .. } = &self.processes[process];
        let published = hub.publish(TOPICS[topic], Event::from(data.clone())).await;
        if *is_closed {
            assert!(matches!(published, Err(PublishError::Closed)));
            return;
        }
        let receipt = published.unwrap();
        assert_eq!(receipt.subscribers, naive.subscribers[topic]);
        self.newest += 1;
        assert_eq!(sequence(receipt.id().as_str()), self.newest);
        let size = format!("data: {data}\nid: {}\n\n", receipt.id()).len();
        self.send_item(topic, size, false);
    }

    pub(crate) async fn gap(&mut self, process: usize, topic: usize) {
        let Process { hub, is_closed, .. } = &self.processes[process];
        let reported = hub.gap(TOPICS[topic]).await;
        assert_eq!(reported.is_err(), *is_closed);
        if let Ok(receipt) = reported {
            self.newest += 1;
            assert_eq!(sequence(receipt.id().as_str()), self.newest);
            self.send_item(topic, 0, true);
        }
    }

    fn send_item(&mut self, topic: usize, size: usize, is_gap: bool) {
        let (sequence, at) = (self.newest, self.now);
        let item = Published { topic, sequence, size, at, evicted: false, is_gap };
        self.send(&Received::Event(item));
    }

    fn send(&mut self, received: &Received) {
        self.history.push(received.clone());
        for process in &mut self.processes {
            process.receive(received.clone());
        }
    }

    pub(crate) fn wait(&mut self, milliseconds: u64) {
        self.now += milliseconds;
        for process in &mut self.processes {
            process.naive.now = self.now;
        }
    }

    pub(crate) fn close(&mut self, process: usize) {
        let process = &mut self.processes[process];
        process.hub.close();
        process.is_closed = true;
    }

    pub(crate) fn check(&self) {
        for Process { hub, naive, .. } in &self.processes {
            let is_used = |topic: &usize| {
                naive.subscribers[*topic] > 0 || naive.kept(*topic).next().is_some()
            };
            let used = (0..TOPICS.len()).filter(is_used).map(|topic| TOPICS[topic].to_owned());
            let topics: BTreeSet<_> = hub.topics().iter().map(ToString::to_string).collect();
            assert_eq!(topics, used.collect());
            assert_eq!(sequence(hub.position().as_str()), naive.newest);
            let stats = hub.stats();
            assert_eq!(stats.topics, topics.len());
            assert_eq!(stats.subscribers, naive.subscribers.iter().sum::<usize>());
            let kept = (0..TOPICS.len()).map(|topic| naive.kept(topic).count());
            assert_eq!(stats.events, kept.sum::<usize>());
            assert_eq!((stats.evicted, stats.gaps), (naive.evicted(), naive.gaps));
        }
    }

    pub(crate) fn fed(limits: [Limits; 2]) -> Self {
        let broker = MemoryBroker::new();
        let start = |limits| Process::new(connect_with(builder(limits), &broker), limits);
        let processes = limits.map(start).into();
        Self { processes, broker: Some(broker), ..Self::in_process(limits[0]) }
    }

    pub(crate) fn lose_history(&mut self) {
        let Some(broker) = &self.broker else { return };
        broker.lose_history();
        self.newest += 1;
        self.history.clear();
        self.processes.iter_mut().for_each(|process| process.delayed.clear());
        self.send(&Received::Loss(self.newest));
    }

    pub(crate) fn pause_or_resume(&mut self, process: usize) {
        let Some(broker) = &self.broker else { return };
        let process = &mut self.processes[process];
        if process.is_closed {
            return;
        }
        process.is_paused = !process.is_paused;
        if process.is_paused {
            broker.pause(&process.hub);
        } else {
            broker.resume(&process.hub);
            let delayed = std::mem::take(&mut process.delayed);
            process.naive.receive(&process.hub, &delayed);
        }
    }

    /// Starts a process again, but not without a broker. All its clients must have disconnected.
    pub(crate) fn restart(&mut self, process: usize) {
        let Some(broker) = &self.broker else { return };
        let process = &mut self.processes[process];
        let limits = process.naive.limits;
        *process = Process::new(connect_with(builder(limits), broker), limits);
        process.naive.now = self.now;
        process.naive.receive(&process.hub, &self.history);
    }
}
