//! The stream, the connections and the processes under load: publishers in two processes, one of
//! which reads late, and clients that move between them.

use crate::*;

const CLIENTS: usize = 20;
const TOPICS: [&str; 3] = ["0", "1", "2"];

/// The hubs of the processes, the second of which can be replaced.
type Hubs = Arc<Mutex<Vec<Hub>>>;

#[tokio::test]
async fn stream_deleted_under_load_is_one_gap_for_each_client_and_topic() {
    let commands = ["DEL tower-sse", "FLUSHALL", "UNLINK tower-sse", "FLUSHDB"];
    let Some(verdict) = load(&commands, false).await else { return };
    verdict.assert_faultless();
    assert!(verdict.gaps > 0, "{verdict}");
}

#[tokio::test]
async fn connections_cut_under_load_are_no_gap() {
    let Some(verdict) = load(&["CLIENT KILL TYPE normal"; 4], false).await else { return };
    verdict.assert_faultless();
    assert_eq!(verdict.gaps, 0, "{verdict}");
}

/// A process that starts knows earlier losses only from the markers.
#[tokio::test]
async fn stream_deleted_during_restarts_is_one_gap_for_each_client_and_topic() {
    let Some(verdict) = load(&["FLUSHALL", "DEL tower-sse", "FLUSHALL"], true).await else {
        return;
    };
    verdict.assert_faultless();
    assert!(verdict.gaps > 0, "{verdict}");
}

/// Sends one command after another. All of them lose the stream, except those that kill
/// connections.
async fn load(commands: &[&str], restarts: bool) -> Option<Verdict> {
    let server = Server::start().await?;
    let proxy = Proxy::start(server.port()).await;
    proxy.delay(Duration::from_millis(50));
    let send_commands = async {
        let mut losses = Vec::new();
        for command in commands {
            sleep(Duration::from_millis(200)).await;
            let began = server.now().await;
            let _: redis::Value = server.command(command).await;
            if !command.starts_with("CLIENT") {
                losses.push(Loss::between(began, server.now().await));
            }
        }
        losses
    };
    let restarts = restarts.then(|| proxy.url());
    Some(load_until(send_commands, [server.broker(), proxy.broker()], restarts).await)
}

/// Loads the processes of these brokers until the end of `disturb`, which returns the times in which
/// Redis lost something. With a URL, it restarts the second process again and again.
pub(crate) async fn load_until<const N: usize>(
    disturb: impl Future<Output = Vec<Loss>>,
    brokers: [RedisBroker; N],
    restarts: Option<String>,
) -> Verdict {
    let mut connected = Vec::new();
    for broker in brokers {
        connected.push(Hub::connect(broker).await.unwrap());
    }
    let ahead = connected[0].clone();
    let hubs = Arc::new(Mutex::new(connected));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| Client::greeted(&hubs.lock().unwrap()[client % N], &TOPICS))
        .map(|client| tokio::spawn(read_all(Arc::clone(&hubs), client)))
        .collect();
    let stop = CancellationToken::new();
    let publishers: Vec<_> =
        (0..4).map(|number| publish_until(stop.clone(), Arc::clone(&hubs), number)).collect();
    let restarting = restarts.map(|url| tokio::spawn(restart_again_and_again(hubs, url)));

    let losses = disturb.await;
    sleep(Duration::from_millis(200)).await;
    stop.cancel();
    let mut acknowledged = Vec::new();
    for publisher in publishers {
        acknowledged.extend(publisher.await.unwrap());
    }
    if let Some(restarting) = restarting {
        restarting.abort();
    }
    for (topic, name) in TOPICS.iter().enumerate() {
        _ = publish(&ahead, name, &data(topic, FIRST_END + topic as u64)).await;
    }
    let mut journals = Vec::new();
    for client in clients {
        journals.push(client.await.unwrap());
    }
    check(&acknowledged, &journals, &losses)
}

async fn restart_again_and_again(hubs: Hubs, url: String) {
    loop {
        sleep(Duration::from_millis(70)).await;
        let broker = Redis::open(&url).unwrap().broker(KEY);
        if let Ok(hub) = Hub::connect(broker).await {
            std::mem::replace(&mut hubs.lock().unwrap()[1], hub).close();
        }
    }
}

fn chosen(hubs: &Hubs, number: usize) -> Hub {
    let hubs = hubs.lock().unwrap();
    hubs[number % hubs.len()].clone()
}

fn publish_until(
    stop: CancellationToken,
    hubs: Hubs,
    publisher: usize,
) -> JoinHandle<Vec<Acknowledged>> {
    tokio::spawn(async move {
        let mut acknowledged = Vec::new();
        for number in 0.. {
            if stop.is_cancelled() {
                break;
            }
            let topic = fastrand::usize(..TOPICS.len());
            let number = ((publisher as u64) << 32) + number;
            let hub = chosen(&hubs, publisher);
            match hub.publish(TOPICS[topic], data(topic, number)).await {
                Ok(receipt) => {
                    let sequence = sequence(receipt.id().as_str());
                    acknowledged.push(Acknowledged::now(topic, number, sequence));
                }
                Err(PublishError::Refused(_) | PublishError::Unknown(_) | PublishError::Closed) => {
                }
                Err(error) => panic!("{error:?}"),
            }
            sleep(Duration::from_millis(2)).await;
        }
        acknowledged
    })
}

/// Reads until the end of each topic, and moves to the other hub after each few messages.
async fn read_all(hubs: Hubs, mut reader: Client) -> Journal {
    let start = sequence(&reader.next().await.last_event_id);
    let mut journal = Journal { topics: vec![0, 1, 2], start, messages: Vec::new() };
    let mut ended = 0;
    loop {
        for _ in 0..fastrand::usize(1..40) {
            // `None` at the end of a process.
            let Some(message) = reader.try_next().await else { break };
            let received = Received::now(&message);
            ended += usize::from(received.is_end());
            journal.messages.push(received);
            if ended == TOPICS.len() {
                return journal;
            }
        }
        journal.reconnect();
        reader.move_to(&chosen(&hubs, fastrand::usize(..)));
    }
}
