use std::ops::AddAssign;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;

use super::TOPICS;
use crate::*;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcomes {
    acknowledged: usize,
    refused: usize,
    unknown: usize,
}

impl AddAssign for Outcomes {
    fn add_assign(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.unknown += other.unknown;
    }
}

/// Publishes to one process, about 30 events a second, and counts those that are acknowledged.
pub(super) async fn publish_until(
    stop: CancellationToken,
    publisher: usize,
    address: SocketAddr,
    count: Arc<AtomicUsize>,
) -> (Vec<Acknowledged>, Outcomes) {
    let mut sender = connect_h1(address).await;
    let mut acknowledged: Vec<Acknowledged> = Vec::new();
    let mut outcomes = Outcomes::default();
    for number in 0.. {
        if stop.is_cancelled() {
            break;
        }
        let topic = fastrand::usize(..TOPICS);
        let number = ((publisher as u64) << 32) + number;
        match publish(&mut sender, topic, number).await.as_str() {
            "refused" => outcomes.refused += 1,
            "unknown" => outcomes.unknown += 1,
            id => {
                let sequence = sequence(id);
                // It waits for each, so they are in this order.
                assert!(acknowledged.last().is_none_or(|last| last.sequence < sequence));
                acknowledged.push(Acknowledged::now(topic, number, sequence));
                outcomes.acknowledged += 1;
                count.fetch_add(1, SeqCst);
            }
        }
        sleep(Duration::from_millis(fastrand::u64(..60))).await;
    }
    (acknowledged, outcomes)
}

/// Publishes one event to each topic, by which clients know that there are no more.
pub(super) async fn publish_ends(address: SocketAddr) -> Vec<Acknowledged> {
    let mut sender = connect_h1(address).await;
    let mut acknowledged = Vec::new();
    for topic in 0..TOPICS {
        let number = FIRST_END + topic as u64;
        let id = loop {
            match publish(&mut sender, topic, number).await.as_str() {
                "refused" => sleep(Duration::from_millis(10)).await,
                "unknown" => panic!("no answer from a Redis that runs"),
                id => break sequence(id),
            }
        };
        acknowledged.push(Acknowledged::now(topic, number, id));
    }
    acknowledged
}

async fn publish(sender: &mut SendRequest<Full<Bytes>>, topic: usize, number: u64) -> String {
    let request = Request::post(format!("/publish/{topic}"))
        .header("host", "localhost")
        .body(Full::from(data(topic, number)))
        .unwrap();
    sender.ready().await.unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert!(response.status().is_success(), "{response:?}");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}
