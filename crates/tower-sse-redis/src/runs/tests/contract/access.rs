//! The permissions that the documentation lists.

use std::{cell::RefCell, collections::HashSet};

use super::{commands::*, process::RETAINED, *};
use crate::{
    Error, Redis as Servers,
    runs::seam::{EndMode, Incoming, Push},
};

/// Returns the command of the documentation.
fn documented() -> &'static str {
    let page = include_str!("../../../../docs/running.md");
    let line = page.lines().find(|line| line.contains("ACL SETUSER runs"));
    line.expect("a command").trim_start_matches("//! ")
}

async fn connect(server: &Server, user: &str, name: &str) -> Result<Process, Error> {
    let url = format!("redis://{user}:password@127.0.0.1:{}/", server.port());
    let store = Servers::open(&url).unwrap().runs("app").lease(Duration::from_secs(2));
    Process::try_connect(store, name, RETAINED).await
}

#[tokio::test]
async fn documented_permissions_are_enough() {
    let Some(server) = Server::start().await else { return };
    assert_eq!(server.command::<String>(documented()).await, "OK");
    let p = connect(&server, "runs", "p").await.unwrap();
    let q = connect(&server, "runs", "q").await.unwrap();
    let (first, second) = (run("a1"), run("a2"));
    _ = q.execute(look(&first)).await;
    q.store.subscribe(&first).await.unwrap();
    p.begin(&first).await;
    _ = p.execute(append(&first, 1, 1, "x".repeat(5_000))).await;
    _ = p.execute(append(&first, 2, 2, "event")).await;
    _ = p.execute(trim(&first, 2)).await;
    _ = q.execute(check(&first)).await;
    _ = q.store.load(&first, 0).await.unwrap();
    assert!(matches!(q.receive().await, Incoming::Push(_, Push::Head(_))));
    assert!(matches!(p.receive().await, Incoming::Hint(_)));
    q.store.unsubscribe(&first);
    assert_eq!(server.command::<u32>("DEL app:run:{owner:name}").await, 1);
    _ = p.execute(restore(&first)).await;
    _ = q.execute(replace(&second, &first)).await;
    _ = q.execute(sync(&second)).await;
    _ = q.end(&second, completed(0)).await;
    _ = q.end(&second, EndMode::Forget).await;
    // A new connection closes the one before, and each is checked at intervals.
    _ = server.command::<u32>("CLIENT KILL TYPE pubsub SKIPME yes").await;
    _ = p.reconnected_after(1).await;
    // Other commands follow, so the connections are rarely seen at their checks together.
    let checked = RefCell::new(HashSet::new());
    let are_checked = async || {
        let clients = server.command::<String>("CLIENT LIST").await;
        let at_check = clients.lines().filter(|client| client.contains(" cmd=info "));
        let ids = at_check.filter_map(|client| client.split(' ').next().map(str::to_owned));
        checked.borrow_mut().extend(ids);
        checked.borrow().len() >= 6
    };
    until_async(are_checked).await;
    let mut denied = server.command::<Vec<redis::Value>>("ACL LOG").await;
    // The client of Redis 7.2 and later sends its name, and ignores the reply.
    denied.retain(|entry| !format!("{entry:?}").contains("setinfo"));
    assert!(denied.is_empty(), "{denied:?}");
}

/// The check of permissions is on: with less, connecting fails, or a command does.
#[tokio::test]
async fn each_documented_channel_and_key_is_needed() {
    let Some(server) = Server::start().await else { return };
    let less = documented().replace("runs on", "less on").replace(" &app:run:*", "");
    assert_eq!(server.command::<String>(&less).await, "OK");
    let error = connect(&server, "less", "p").await.err().unwrap();
    assert!(format!("{error:?}").contains("can't publish to the channel"), "{error:?}");
    let other = documented().replace("runs on", "other on").replace("~app:", "~another:");
    assert_eq!(server.command::<String>(&other).await, "OK");
    let error = connect(&server, "other", "p").await.err().unwrap();
    assert!(format!("{error:?}").contains("no permissions to access"), "{error:?}");
}
