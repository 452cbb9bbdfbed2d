//! Examples with a Redis: two of them on two processes behind nginx.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::{runs::answer_goes_on_at, server::Server, *};

/// An example on two processes, started by its script. Dropping it stops everything that the script
/// has started.
struct Cluster {
    script: Example,
    processes: [SocketAddr; 2],
}

impl Cluster {
    /// Returns `None` where a program that the script needs is missing.
    fn start(example: &str) -> Option<Self> {
        for program in ["redis-server", "redis-cli", "nginx", "bash"] {
            find(&[program])?;
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/cluster/run.sh");
        let mut script = Command::new(path);
        script.arg(example).arg(program(example)).stdin(Stdio::null());
        let script = Example::spawn(&mut script);
        let processes = ["one: ", "two: "].map(|name| address_of(name, &script.printed).unwrap());
        Some(Self { script, processes })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.script.terminate();
        _ = self.script.child.wait();
    }
}

#[tokio::test]
async fn chat_page_behind_nginx_has_the_messages_of_both_processes() {
    let Some(cluster) = Cluster::start("chat_cluster") else { return };
    let mut page = open(cluster.script.address, "/events?room=kitchen&name=ann", "").await;
    for (process, text) in cluster.processes.into_iter().zip(["tea?", "milk?"]) {
        let message = json!({ "from": "bob", "to": { "room": "kitchen" }, "text": text });
        post(process, "/messages", &message.to_string()).await;
        let received: Value = serde_json::from_str(&page.next().await.unwrap().data).unwrap();
        assert_eq!(received["text"], text);
    }
}

#[tokio::test]
async fn answer_goes_on_at_another_process() {
    let Some(cluster) = Cluster::start("runs_cluster") else { return };
    let [one, two] = cluster.processes;
    answer_goes_on_at(one, two).await;
}

/// Returns the names of metrics in a text.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_part(c)).filter(|word| word.starts_with("sse_")).collect()
}

#[tokio::test]
async fn dashboard_and_documentation_name_the_metrics_that_are_served() {
    let Some(server) = Server::start().await else { return };
    let mut command = Command::new(program("metrics"));
    let example = Example::spawn(command.env("REDIS_URL", server.url()));
    let get = async |path| client::get(example.address, path, &[]).await;
    let mut scraped = String::new();
    // The figures of the stream come once the process has asked for them.
    until_async(async || {
        let text = soon(get("/metrics").await.into_body().collect()).await.unwrap().to_bytes();
        scraped = String::from_utf8(text.to_vec()).unwrap();
        scraped.contains("\nsse_redis_stream_entries ")
    })
    .await;
    assert!(scraped.contains("\nsse_redis_ready 1\n"), "{scraped}");
    assert_eq!(get("/ready").await.status(), StatusCode::OK);

    let served = metrics_in(&scraped);
    let dashboard = include_str!("../../../examples/metrics/grafana.json");
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let page = include_str!("../../../src/redis/running.rs");
    for (named, least) in [(dashboard.to_string(), 17), (page.to_owned(), 14)] {
        let named = metrics_in(&named);
        let missing: Vec<_> = named.difference(&served).collect();
        assert!(missing.is_empty() && named.len() >= least, "{} {missing:?}", named.len());
    }
    // Each figure of Redis that is served is explained.
    let explained = metrics_in(page);
    let families = scraped.lines().filter_map(|line| line.strip_prefix("# TYPE sse_redis_"));
    for family in families.map(|line| line.split(' ').next().unwrap()) {
        let is_explained = |name: &&str| {
            let name = name.strip_prefix("sse_redis_");
            name.is_some_and(|name| name.strip_suffix("_total").unwrap_or(name) == family)
        };
        assert!(explained.iter().any(is_explained), "{family}");
    }
}
