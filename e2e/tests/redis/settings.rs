//! Settings that the operator's page shows, on servers that have data and a configuration file.

use crate::server::CONFIGURATION;
use crate::*;

const PAGE: &str = include_str!("../../../crates/tower-sse-redis/docs/running.md");
const PASSWORD: &str = "another-password";

/// Returns the commands of the page's block that begins with these words.
fn block(start: &str) -> Vec<&'static str> {
    let lines = PAGE.lines().map(str::trim).skip_while(|line| !line.starts_with(start));
    let commands: Vec<_> = lines.take_while(|line| *line != "```").collect();
    assert!(!commands.is_empty(), "{start}");
    commands
}

/// Starts a server with a configuration file. It keeps no data unless it is told to.
async fn configured(lines: &str) -> Option<Server> {
    let mut server = Server::prepare(&[])?;
    fs::write(server.directory().join(CONFIGURATION), lines).unwrap();
    server.restart().await;
    Some(server)
}

async fn try_command(url: &str, command: &str) -> redis::RedisResult<String> {
    let mut connection = connect(&redis::Client::open(url)?).await?;
    let mut parts = command.split(' ');
    let mut command = redis::cmd(parts.next().unwrap());
    parts.for_each(|part| _ = command.arg(part));
    command.query_async(&mut connection).await
}

#[tokio::test]
async fn append_only_file_is_turned_on_without_losing_data() {
    let Some(mut server) = configured("").await else { return };
    let _: String = server.command("SET before 1").await;
    let _: String = server.command("SAVE").await;
    for command in block("CONFIG SET appendonly yes") {
        assert_eq!(server.command::<String>(command).await, "OK", "{command}");
    }
    until_async(async || {
        let info: String = server.command("INFO persistence").await;
        info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0")
    })
    .await;
    let _: String = server.command("SET after 2").await;
    server.kill();
    server.restart().await;
    let values: Vec<Option<u8>> = server.command("MGET before after").await;
    assert_eq!(values, [Some(1), Some(2)]);
}

#[tokio::test]
async fn append_only_file_of_a_server_with_data_begins_empty() {
    let Some(mut server) = configured("").await else { return };
    let _: String = server.command("SET before 1").await;
    let _: String = server.command("SAVE").await;
    server.kill();
    server.restart().await;
    assert_eq!(server.command::<u8>("DBSIZE").await, 1, "kept so far");
    server.kill();
    fs::write(server.directory().join(CONFIGURATION), "appendonly yes\n").unwrap();
    server.restart().await;
    assert_eq!(server.command::<u8>("DBSIZE").await, 0, "what the page warns of");
}

#[tokio::test]
async fn user_outlives_a_restart_of_a_server_without_an_acl_file() {
    let Some(mut server) = configured("").await else { return };
    let create = block("ACL SETUSER app")[0];
    assert_eq!(server.command::<String>(create).await, "OK");
    let saved = try_command(&server.url(), "ACL SAVE").await.unwrap_err();
    assert!(saved.to_string().contains("ACL file"), "{saved}");
    assert!(PAGE.contains("also run `CONFIG REWRITE`, or `ACL SAVE` if"));
    assert_eq!(server.command::<String>("CONFIG REWRITE").await, "OK");
    server.kill();
    server.restart().await;
    let users: Vec<String> = server.command("ACL USERS").await;
    assert_eq!(users, ["app", "default"]);
}

/// Returns whether the primary accepts writes, of which one replica must have taken part.
async fn accepts(url: &str) -> bool {
    try_command(url, "SET key value").await.is_ok()
}

#[tokio::test]
async fn replica_and_sentinel_go_on_with_a_password() {
    let Some(primary) = configured("min-replicas-to-write 1\n").await else { return };
    let replica = configured("").await.expect("a server, as before");
    replica.replicate(&primary).await;
    let url = |server: &Server| server.url().replace("//", &format!("//:{PASSWORD}@"));
    until_async(async || accepts(&primary.url()).await).await;

    let mut urls = Vec::new();
    for server in [&primary, &replica] {
        let create = format!("ACL SETUSER default resetpass >{PASSWORD}");
        assert_eq!(server.command::<String>(&create).await, "OK");
        urls.push(url(server));
    }
    // A connection that breaks needs the password from now on.
    assert_eq!(try_command(&urls[0], "CLIENT KILL TYPE replica").await.unwrap(), "1");
    until_async(async || !accepts(&urls[0]).await).await;
    for url in &urls {
        for command in block("CONFIG SET masterauth") {
            assert_eq!(try_command(url, command).await.unwrap(), "OK", "{command}");
        }
    }
    until_async(async || accepts(&urls[0]).await).await;

    let sentinel = Sentinel::start(&primary);
    until_async(async || sentinel.flags().await.is_some_and(|it| it.contains("s_down"))).await;
    let set = block("SENTINEL SET mymaster")[0].replace("mymaster", "hub");
    assert_eq!(try_command(&sentinel.url, &set).await.unwrap(), "OK");
    until_async(async || sentinel.flags().await.as_deref() == Some("master")).await;
}
