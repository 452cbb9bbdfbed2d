//! Examples on two processes with a Redis, behind nginx.

use std::{path::Path, thread};

use super::notifications::{Session, next};
use super::runs::answer_goes_on_at;
use crate::*;

/// An example on two processes, started by its script. Dropping it stops everything that the script
/// has started.
struct Cluster {
    script: Program,
    nginx: SocketAddr,
    processes: [SocketAddr; 2],
}

impl Cluster {
    /// Returns `None` where a program that the script needs is missing.
    async fn start(example: &str) -> Option<Self> {
        for program in ["redis-server", "redis-cli", "nginx", "bash"] {
            find(&[program])?;
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../crates/tower-sse-redis/examples/cluster/run.sh");
        let mut script = Command::new(path);
        script.arg(example).arg(example_program(example)).env("PORT", "0");
        let mut script = Program::start(&mut script);
        // The addresses come in any order.
        let mut addresses = BTreeMap::new();
        while addresses.len() < 3 {
            let line = script.line().await.expect("an address");
            if let Some((name, address)) = line.split_once("listening on http://") {
                addresses.insert(name.to_owned(), address.parse().unwrap());
            }
        }
        let [nginx, one, two] = ["", "one: ", "two: "].map(|name| addresses[name]);
        Some(Self { script, nginx, processes: [one, two] })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.script.signal("TERM");
        while !self.script.has_exited() {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

#[tokio::test]
async fn chat_page_behind_nginx_has_the_messages_of_both_processes() {
    let Some(cluster) = Cluster::start("chat_cluster").await else { return };
    let mut page = open(cluster.nginx, "/events?room=kitchen&name=ann", "").await;
    for (process, text) in cluster.processes.into_iter().zip(["tea?", "milk?"]) {
        let message = json!({ "from": "bob", "to": { "room": "kitchen" }, "text": text });
        post(process, "/messages", &message.to_string()).await;
        let received: Value = serde_json::from_str(&process::next(&mut page).await.data).unwrap();
        assert_eq!(received["text"], text);
    }
}

#[tokio::test]
async fn answer_goes_on_at_another_process() {
    let Some(cluster) = Cluster::start("runs_cluster").await else { return };
    let [one, two] = cluster.processes;
    answer_goes_on_at(one, two).await;
}

#[tokio::test]
async fn notification_and_log_out_reach_the_other_process() {
    let Some(cluster) = Cluster::start("notifications_cluster").await else { return };
    let [one, two] = cluster.processes;
    let at_one = Session::log_in(one, "ann").await;
    at_one.notify("ann", "before").await;
    let at_two = at_one.at(two);
    let (unread, mut events) = at_two.open().await;
    assert_eq!(unread.into_values().collect::<Vec<_>>(), ["before"]);
    at_one.notify("all", "live").await;
    assert_eq!(next(&mut events).await, (2, "live".to_owned()));
    assert_eq!(at_one.post("/log_out", "").await, StatusCode::SEE_OTHER);
    assert_eq!(events.rest().await.len(), 0);
    assert_eq!(at_two.status().await, StatusCode::UNAUTHORIZED);
}
