//! The publisher in Python that the documentation shows.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::*;

/// Returns the code block of the module's documentation.
fn documented() -> String {
    let source = include_str!("../../../crates/tower-sse-redis/src/lib.rs");
    let (_, code) = source.split_once("//! ```python\n").expect("a publisher in Python");
    let (code, _) = code.split_once("//! ```\n").expect("its end");
    code.lines().map(|line| line.trim_start_matches("//!").trim_start().to_owned() + "\n").collect()
}

/// Runs the publisher, with the address of this server in place of the one that it has.
fn publish(python: &Path, packages: &Path, server: &Server) {
    let code = documented();
    assert_eq!(code.matches("redis://127.0.0.1/").count(), 1, "{code}");
    let code = code.replace("redis://127.0.0.1/", &server.url());
    let mut command = Command::new(python);
    let output = command.args(["-c", &code]).env("PYTHONPATH", packages).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Returns Python and the directory of redis-py, where `.ci/run` installs it.
fn find_python() -> Option<(PathBuf, PathBuf)> {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python");
    let python = find(&["python3"])?;
    if !packages.join("redis").is_dir() {
        skip("no redis in target/python");
        return None;
    }
    Some((python, packages))
}

#[tokio::test]
async fn documented_publisher_reaches_clients() {
    let Some((python, packages)) = find_python() else { return };
    let Some(server) = Server::start().await else { return };

    // Without a hub there is no stream, and the publisher must not create it.
    publish(&python, &packages, &server);
    assert_eq!(server.command::<u32>("EXISTS news").await, 0);

    let broker = server.redis().broker("news");
    let stats = broker.stats();
    let hub = Hub::connect(broker).await.unwrap();
    let mut client = Client::connect(&hub, &["news"]);
    publish(&python, &packages, &server);
    let message = client.next().await;
    assert_eq!((&*message.event, &*message.data), ("message", "hello"));
    assert_eq!(&*message.last_event_id, hub.position().as_str());
    assert_eq!((stats.losses(), stats.foreign_entries()), (0, 0));
}
