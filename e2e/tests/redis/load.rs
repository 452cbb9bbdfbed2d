//! Hubs of several processes under load: publishers in each process, and clients that move between
//! the processes.

use crate::*;

const CLIENTS: usize = 60;
/// More topics than a subscription reads from without a heap.
const TOPICS: [&str; 7] = ["0", "1", "2", "3", "4", "5", "6"];

/// Puts the processes of these brokers under load until the end of `disturb`, which returns the
/// times in which Redis lost something. Adds the number of acknowledged events to `count`.
pub(crate) async fn load_until(
    disturb: impl Future<Output = Vec<Loss>>,
    brokers: impl IntoIterator<Item = RedisBroker>,
    count: &Arc<AtomicUsize>,
) -> Verdict {
    let hubs = try_join_all(brokers.into_iter().map(Hub::connect)).await.unwrap();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| Client::greeted(&hubs[client % hubs.len()], &TOPICS))
        .map(|client| tokio::spawn(read_all(hubs.clone(), client)))
        .collect();
    let stop = CancellationToken::new();
    let publishers: Vec<_> = (0..6)
        .map(|number| (hubs[number % hubs.len()].clone(), number as u64))
        .map(|(hub, number)| publish_until(stop.clone(), hub, number, Arc::clone(count)))
        .map(tokio::spawn)
        .collect();

    let losses = disturb.await;
    sleep(Duration::from_millis(200)).await;
    stop.cancel();
    let acknowledged = try_join_all(publishers).await.unwrap().concat();
    for (topic, name) in TOPICS.iter().enumerate() {
        _ = publish(&hubs[0], name, &data(topic, FIRST_END + topic as u64)).await;
    }
    let journals = try_join_all(clients).await.unwrap();
    assert!(!acknowledged.is_empty());
    check(&acknowledged, &journals, &losses).unwrap()
}

async fn publish_until(
    stop: CancellationToken,
    hub: Hub,
    publisher: u64,
    count: Arc<AtomicUsize>,
) -> Vec<Acknowledged> {
    let mut acknowledged = Vec::new();
    for number in publisher << 32.. {
        if stop.is_cancelled() {
            break;
        }
        // Some topics get few events.
        let topic = fastrand::usize(..TOPICS.len()).min(fastrand::usize(..TOPICS.len()));
        match hub.publish(TOPICS[topic], data(topic, number)).await {
            Ok(receipt) => {
                let sequence = sequence(receipt.id().as_str());
                acknowledged.push(Acknowledged::now(topic, number, sequence));
                count.fetch_add(1, SeqCst);
            }
            Err(PublishError::Refused(_) | PublishError::Unknown(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
        sleep(Duration::from_millis(fastrand::u64(..20))).await;
    }
    acknowledged
}

/// Reads until the end of each topic, and moves to a random hub after every few messages.
async fn read_all(hubs: Vec<Hub>, mut reader: Client) -> Journal {
    let start = sequence(&reader.next().await.last_event_id);
    let mut journal = Journal { start, messages: Vec::new() };
    let mut ended = 0;
    loop {
        for _ in 0..fastrand::usize(1..40) {
            let received = Received::now(&reader.next().await);
            ended += usize::from(received.is_end());
            journal.messages.push(received);
            if ended == TOPICS.len() {
                return journal;
            }
        }
        reader.move_to(&hubs[fastrand::usize(..hubs.len())]);
    }
}
