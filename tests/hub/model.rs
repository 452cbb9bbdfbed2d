//! Random histories of a hub and its clients, checked against the [naive](crate::naive) hub.

use proptest::{prelude::*, sample::Index, test_runner::RngAlgorithm};
use tokio::{runtime, task::yield_now};

use crate::*;

const CLIENTS: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    Publish {
        process: Index,
        topic: usize,
        len: usize,
    },
    Connect {
        client: usize,
        process: Index,
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
        process: Index,
    },
    Wait {
        milliseconds: u64,
    },
    Close {
        process: Index,
    },
    LoseHistory,
    PauseOrResume {
        process: Index,
    },
    Restart {
        process: Index,
    },
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
    let process = any::<Index>;
    prop_oneof![
        90 => (process(), 0..TOPICS.len(), len)
            .prop_map(|(process, topic, len)| Step::Publish { process, topic, len }),
        20 => (client.clone(), process(), topics.prop_shuffle(), recent, with)
            .prop_map(|(client, process, topics, recent, with)| {
                Step::Connect { client, process, topics, recent, with }
            }),
        60 => (client.clone(), 1_usize..8).prop_map(|(client, items)| Step::Poll { client, items }),
        15 => (client.clone(), any::<Index>())
            .prop_map(|(client, arrived)| Step::Disconnect { client, arrived }),
        20 => (client, process()).prop_map(|(client, process)| Step::Reconnect { client, process }),
        10 => (1_u64..20).prop_map(|milliseconds| Step::Wait { milliseconds }),
        1 => process().prop_map(|process| Step::Close { process }),
        9 => Just(Step::LoseHistory),
        9 => process().prop_map(|process| Step::PauseOrResume { process }),
        2 => process().prop_map(|process| Step::Restart { process }),
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

async fn run(mut world: World, steps: Vec<Step>) {
    let mut clients: [Visitor; CLIENTS] = Default::default();
    // At the end each client reads what is left.
    let last = (0..CLIENTS).map(|client| Step::Poll { client, items: usize::MAX });
    for step in steps.into_iter().chain(last) {
        // A new cooperative budget, or subscriptions would be pending after many reads.
        yield_now().await;
        let processes = world.processes.len();
        match step {
            Step::Publish { process, topic, len } => {
                world.publish(process.index(processes), topic, len).await;
            }
            Step::Connect { client, process, topics, recent, with } => {
                let client = &mut clients[client];
                client.disconnect(&mut world);
                client.last = with.id(&world);
                (client.topics, client.recent) = (topics, recent);
                client.connect(&mut world, process.index(processes));
            }
            Step::Poll { client, items } => {
                (0..items).all(|_| clients[client].poll(&mut world));
            }
            Step::Disconnect { client, arrived } => {
                let client = &mut clients[client];
                if !client.ids.is_empty() {
                    client.last = client.ids[arrived.index(client.ids.len())].clone();
                }
                client.disconnect(&mut world);
            }
            Step::Reconnect { client, process } => {
                let client = &mut clients[client];
                if !client.topics.is_empty() {
                    client.disconnect(&mut world);
                    client.connect(&mut world, process.index(processes));
                }
            }
            Step::Wait { milliseconds } => {
                advance(Duration::from_millis(milliseconds)).await;
                world.wait(milliseconds);
            }
            Step::Close { process } => world.close(process.index(processes)),
            Step::LoseHistory => world.lose_history(),
            Step::PauseOrResume { process } => world.pause_or_resume(process.index(processes)),
            // A hub without a broker would not be the same after a restart.
            Step::Restart { .. } if processes == 1 => {}
            Step::Restart { process } => {
                let process = process.index(processes);
                for client in clients.iter_mut().filter(|client| client.process == process) {
                    client.disconnect(&mut world);
                }
                world.restart(process);
            }
        }
        world.check();
    }
}

impl With {
    fn id(self, world: &World) -> Option<LastEventId> {
        match self {
            Self::Nothing => None,
            Self::Ours(index) => Some(world.id(index.index(world.newest as usize + 1) as u64)),
            Self::Foreign => Some(last_id("zz-1")),
            Self::Malformed(id) => Some(last_id(id)),
            Self::Unassigned(by) => Some(world.id(world.newest + by)),
        }
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
        block_on(async { run(World::in_process(limits), steps).await });
    }

    #[test]
    fn clients_of_two_processes_receive_each_event_in_order_or_a_gap(
        limits in limits(),
        steps in prop::collection::vec(step(), 0..160),
    ) {
        block_on(async { run(World::fed(limits), steps).await });
    }
}

/// Runs with a paused clock, which the hub has to be created in.
fn block_on(run: impl Future<Output = ()>) {
    let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(run);
}
