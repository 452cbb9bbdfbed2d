//! Lists of URLs, among which processes use the primary's, and the URL of a Unix socket.

use crate::*;

async fn primary_and_replica() -> Option<[Server; 2]> {
    let primary = Server::start().await?;
    let replica = Server::start().await?;
    replica.replicate(&primary).await;
    Some([primary, replica])
}

/// Returns the number of connections of processes with this key.
async fn connections(server: &Server, key: &str) -> usize {
    let list: String = server.command("CLIENT LIST").await;
    list.lines().filter(|line| line.contains(&format!(" name={key}:"))).count()
}

#[tokio::test]
async fn primary_is_used_wherever_it_is_in_the_list() {
    let Some([primary, replica]) = primary_and_replica().await else { return };
    let nobody = format!("redis://127.0.0.1:{}/", free_port());
    for urls in [
        [primary.url(), replica.url(), nobody.clone()],
        [nobody.clone(), replica.url(), primary.url()],
    ] {
        let mut process = Process::connect(patient(Redis::open_any(&urls).unwrap())).await;
        process.delivers([0]).await;
        assert_eq!(connections(&primary, "tower-sse").await, 2);
        assert_eq!(connections(&replica, "tower-sse").await, 0);
        process.hub.close();
        drop(process);
        until_async(async || connections(&primary, "tower-sse").await == 0).await;
    }
}

#[tokio::test]
async fn socket_in_the_file_system_is_connected_to() {
    let Some(server) = Server::start_with(&["--unixsocket", "socket"]).await else { return };
    let url = format!("unix://{}", server.directory().join("socket").display());
    publishes_and_reads(patient(Redis::open(&url).unwrap())).await;
}

#[tokio::test]
async fn list_without_a_primary_is_an_error_that_names_each_address() {
    let Some([primary, replica]) = primary_and_replica().await else { return };
    let port = free_port();
    let urls = [format!("redis://:secret@127.0.0.1:{port}/"), replica.url()];
    let error = Hub::connect(patient(Redis::open_any(&urls).unwrap())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly);
    let text = format!("{error:?}");
    for part in
        [&format!("127.0.0.1:{port}: "), &format!("127.0.0.1:{}: ", replica.port()), "is a replica"]
    {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("secret"), "{text}");
    drop(primary);
}
