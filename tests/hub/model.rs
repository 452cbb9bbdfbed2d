//! Random histories of a hub and its clients, checked against the [naive](crate::naive) hub.

use std::{collections::BTreeSet, time::Duration};

use proptest::{prelude::*, sample::Index, test_runner::RngAlgorithm};
use tokio::{runtime, task::yield_now, time::advance};
use tower_sse::{
    Event, LastEventId,
    hub::{Hub, PublishError, Retention},
};

use crate::{
    client::{id, sequence},
    naive::{AMPLE_MEMORY, Limits, Naive, TOPICS},
    visitor::Visitor,
};

const CLIENTS: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    Publish {
        topic: usize,
        len: usize,
    },
    Connect {
        client: usize,
        topics: Vec<usize>,
        recent: usize,
        with: With,
    },
    /// Receives up to `items` items.
    Poll {
        client: usize,
        items: usize,
    },
    /// Disconnects before the last messages of the last item arrived.
    Disconnect {
        client: usize,
        arrived: Index,
    },
    Reconnect {
        client: usize,
    },
    Wait {
        milliseconds: u64,
    },
    Close,
}

/// A last event id.
#[derive(Clone, Debug)]
enum With {
    Nothing,
    Ours(Index),
    Foreign,
    Malformed(&'static str),
    Unassigned(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    let topics = prop::sample::subsequence((0..TOPICS.len()).collect::<Vec<_>>(), 1..=4);
    let recent = prop_oneof![Just(0), 1_usize..5, Just(usize::MAX)];
    let len = prop_oneof![8 => 0_usize..60, 1 => 3_000_usize..9_000];
    let with = prop_oneof![
        3 => Just(With::Nothing),
        4 => any::<Index>().prop_map(With::Ours),
        1 => Just(With::Foreign),
        1 => prop::sample::select(vec!["?", "7", "a-b", "1-+1", "1-01", "-1"]).prop_map(With::Malformed),
        1 => (1_u64..5).prop_map(With::Unassigned),
    ];
    prop_oneof![
        90 => (0..TOPICS.len(), len).prop_map(|(topic, len)| Step::Publish { topic, len }),
        20 => (client.clone(), topics.prop_shuffle(), recent, with)
            .prop_map(|(client, topics, recent, with)| Step::Connect { client, topics, recent, with }),
        60 => (client.clone(), 1_usize..8).prop_map(|(client, items)| Step::Poll { client, items }),
        15 => (client.clone(), any::<Index>())
            .prop_map(|(client, arrived)| Step::Disconnect { client, arrived }),
        20 => client.prop_map(|client| Step::Reconnect { client }),
        10 => (1_u64..20).prop_map(|milliseconds| Step::Wait { milliseconds }),
        1 => Just(Step::Close),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let bytes = prop::sample::select(vec![100, 400, 20_000, 1 << 20]);
    let memory = prop::sample::select(vec![0, 300, 2_000, 30_000, AMPLE_MEMORY]);
    let events = prop_oneof![1_usize..6, Just(1024)];
    let age = prop_oneof![0_u64..30, Just(1_000_000)];
    (events, bytes, age, memory).prop_map(|(events, bytes, age, memory)| Limits {
        events,
        bytes,
        age,
        memory,
    })
}

async fn run(limits: Limits, steps: Vec<Step>) {
    let hub = Hub::builder()
        .retain_events(1)
        .retention_of(move |_| {
            let Limits { events, bytes, age, .. } = limits;
            Some(Retention::new().events(events).bytes(bytes).age(Duration::from_millis(age)))
        })
        .max_memory(limits.memory)
        .build();
    let mut naive = Naive::new(limits);
    let mut visitors: [Visitor; CLIENTS] = Default::default();
    let mut closed = false;
    // At the end each client reads what is left.
    let last = (0..CLIENTS).map(|client| Step::Poll { client, items: usize::MAX });
    for step in steps.into_iter().chain(last) {
        // A new cooperative budget, or subscriptions would be pending after many reads.
        yield_now().await;
        match step {
            Step::Publish { topic, len } => {
                let data = format!("{}{}", TOPICS[topic], "x".repeat(len));
                let published = hub.publish_now(TOPICS[topic], Event::from(data.clone()));
                if closed {
                    assert!(matches!(published, Err(PublishError::Closed)));
                    continue;
                }
                let receipt = published.unwrap();
                assert_eq!(receipt.subscribers(), naive.subscribers[topic]);
                let size = format!("data: {data}\nid: {}\n\n", receipt.id()).len();
                naive.publish(&hub, topic, size);
            }
            Step::Connect { client, topics, recent, with } => {
                let visitor = &mut visitors[client];
                visitor.disconnect(&mut naive);
                visitor.last = match with {
                    With::Nothing => None,
                    With::Ours(index) => Some(id(&hub, index.index(naive.events.len() + 1) as u64)),
                    With::Foreign => Some(LastEventId::try_from("zz-1").unwrap()),
                    With::Malformed(id) => Some(LastEventId::try_from(id).unwrap()),
                    With::Unassigned(by) => Some(id(&hub, naive.newest() + by)),
                };
                (visitor.topics, visitor.recent) = (topics, recent);
                visitor.connect(&hub, &mut naive);
            }
            Step::Poll { client, items } => {
                let visitor = &mut visitors[client];
                (0..items).all(|_| visitor.poll(&mut naive));
            }
            Step::Disconnect { client, arrived } => {
                let visitor = &mut visitors[client];
                if !visitor.ids.is_empty() {
                    visitor.last = visitor.ids[arrived.index(visitor.ids.len())].clone();
                }
                visitor.disconnect(&mut naive);
            }
            Step::Reconnect { client } => {
                if !visitors[client].topics.is_empty() {
                    visitors[client].connect(&hub, &mut naive);
                }
            }
            Step::Wait { milliseconds } => {
                advance(Duration::from_millis(milliseconds)).await;
                naive.now += milliseconds;
            }
            Step::Close => {
                hub.close();
                closed = true;
            }
        }
        let used = (0..TOPICS.len())
            .filter(|topic| naive.subscribers[*topic] > 0 || naive.kept(*topic).next().is_some());
        let used: BTreeSet<_> = used.map(|topic| TOPICS[topic].to_owned()).collect();
        assert_eq!(hub.topics().iter().map(ToString::to_string).collect::<BTreeSet<_>>(), used);
        assert_eq!(sequence(hub.position().as_str()), naive.newest());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        rng_algorithm: RngAlgorithm::XorShift,
        ..ProptestConfig::default()
    })]

    #[test]
    fn each_client_receives_each_event_once_in_order_or_a_gap(
        limits in limits(),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(run(limits, steps));
    }
}
