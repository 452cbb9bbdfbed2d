//! Requests of one key that arrive at several processes at the same time.

use std::{future::ready, net::SocketAddr, vec::IntoIter};

use futures_util::{future::join_all, stream};
use http::{Method, StatusCode};
use tokio::sync::oneshot;
use tower_sse::{
    Event,
    redis::Redis,
    runs::{Outcome, RunKey, Runs},
};

use crate::{
    support::{soon, until_async},
    *,
};

/// Sends the same request from many clients at once, each to the next process.
async fn simultaneous_requests_call_once(keys: usize, requests: usize) {
    let Some(cluster) = Cluster::start().await else { return };
    let addresses = cluster.addresses();
    for key in 0..keys {
        let name = format!("once-{key}");
        let clients = (0..requests).map(async |at| {
            let mut client = Client::of_turn(&name, 20, 1);
            let closed = client.post(addresses[at % addresses.len()], usize::MAX).await;
            assert_eq!(closed, Closed::Complete, "{client:?}");
            client.assert_whole(20);
        });
        _ = join_all(clients).await;
        assert_eq!(cluster.calls(&name), 1, "{name}");
    }
}

#[tokio::test]
async fn simultaneous_requests_of_a_key_call_once() {
    simultaneous_requests_call_once(10, 20).await;
}

#[tokio::test]
#[ignore = "of .ci/slow runs-cluster"]
async fn simultaneous_requests_of_200_keys_call_once_each() {
    simultaneous_requests_call_once(200, 50).await;
}

/// The number of events of a turn: so many that none is complete before the last request arrives.
const TURN: u64 = 300;

/// Each replacement cancels the one before. All processes agree on the last.
async fn simultaneous_replacements_leave_one(keys: usize) {
    let Some(cluster) = Cluster::start().await else { return };
    let addresses = cluster.addresses();
    for keys in (0..keys).collect::<Vec<_>>().chunks(10) {
        _ = join_all(keys.iter().map(|key| replacements_leave_one(&addresses, *key))).await;
    }
}

async fn replacements_leave_one(addresses: &[SocketAddr], key: usize) {
    let path = format!("/chat/turns-{key}?events={TURN}&gap=10");
    let clients = (0..5).map(async |at| {
        let mut client = Client::new(path.clone());
        let closed = client.post(addresses[at % addresses.len()], usize::MAX).await;
        client.assert_no_hole();
        closed
    });
    let closed = join_all(clients).await;
    let complete = closed.iter().filter(|closed| **closed == Closed::Complete).count();
    assert_eq!(complete, 1, "{closed:?}");
    for address in addresses {
        let mut client = Client::new(format!("/chat/turns-{key}"));
        let closed = client.connect(Method::GET, *address, usize::MAX).await;
        assert_eq!(closed, Closed::Complete);
        client.assert_whole(TURN);
    }
}

#[tokio::test]
async fn one_of_simultaneous_replacements_completes() {
    simultaneous_replacements_leave_one(5).await;
}

#[tokio::test]
#[ignore = "of .ci/slow runs-cluster"]
async fn one_of_100_times_five_simultaneous_replacements_completes() {
    simultaneous_replacements_leave_one(100).await;
}

/// An answer that is no event stream is nobody else's, and its key is free at once.
#[tokio::test]
async fn answer_that_is_no_stream_frees_the_key_everywhere() {
    let Some(cluster) = Cluster::start().await else { return };
    for (at, address) in cluster.addresses().into_iter().cycle().take(9).enumerate() {
        let status = send(Method::POST, address, "/turn/teapot?events=0&gap=0").await;
        assert_eq!(status, Some(StatusCode::IM_A_TEAPOT));
        assert_eq!(cluster.calls("teapot"), at + 1);
    }
}

type Call = Result<stream::Iter<IntoIter<Event>>, &'static str>;

/// A call that has no stream is its caller's alone, whichever process waits for it.
#[tokio::test]
async fn call_that_fails_before_its_first_event_frees_the_key_everywhere() {
    let Some(redis) = Server::start().await else { return };
    let connect = async || {
        let redis = Redis::open(&redis.url()).unwrap().runs("app").lease(LEASE);
        Runs::connect(redis).await.unwrap()
    };
    let (one, other) = (connect().await, connect().await);
    let key = RunKey::new("ann", "chat").unwrap();
    let (answer, call) = oneshot::channel::<Call>();
    let first = one.start_with(&key, None, || async { call.await.unwrap() });
    let second = async {
        until_async(async || redis.command::<u32>("EXISTS app:run:{ann:chat}").await == 1).await;
        let starting = other.start_with(&key, None, || ready(Call::Err("mine")));
        let answering = async {
            answer.send(Err("429")).unwrap();
        };
        tokio::join!(starting, answering).0
    };
    let (first, second) = soon(async { tokio::join!(first, second) }).await;
    assert_eq!(first.unwrap().err(), Some("429"));
    assert_eq!(second.unwrap().err(), Some("mine"));
    let events = || ready(Ok::<_, ()>(stream::iter(vec![Event::from("a")])));
    let run = soon(other.start_with(&key, None, events)).await.unwrap().unwrap();
    assert_eq!(soon(run.ended()).await, Some(Outcome::Completed));
}
