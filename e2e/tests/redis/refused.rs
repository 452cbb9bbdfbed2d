//! The commands that a managed service can refuse, and the fields of `INFO` that it can leave out:
//! each row in the tables of the operator's page.

use crate::*;

const PAGE: &str = include_str!("../../../crates/tower-sse-redis/docs/running.md");

/// What the tests below refuse, besides the commands whose lack makes connecting fail.
const OTHERS: [&str; 12] = [
    "XADD",
    "XTRIM",
    "MEMORY USAGE",
    "CLIENT SETNAME",
    "UNSUBSCRIBE",
    "role",
    "redis_mode",
    "server_mode",
    "master_replid",
    "cmdstat_…",
    "maxmemory",
    "maxmemory_policy",
];

/// Returns the names and the effect in each row of the table of hubs (0) or of runs (1).
fn rows(table: usize) -> Vec<(Vec<&'static str>, &'static str)> {
    let (_, section) = PAGE.split_once("# If a managed service refuses").expect("a section");
    let table = section.split("|---|---|").nth(table + 1).expect("a table").trim_start();
    let rows = table.lines().take_while(|line| line.starts_with("| `"));
    let rows = rows.map(|line| {
        let (names, effect) = line[1..].split_once('|').expect("two cells");
        (names.split('`').skip(1).step_by(2).collect(), effect.trim_matches(['|', ' ']))
    });
    rows.collect()
}

/// Returns the commands whose lack makes connecting fail, for hubs (0) or runs (1).
fn needed(table: usize) -> Vec<&'static str> {
    let rows = rows(table).into_iter().filter(|(_, effect)| effect.starts_with("fails"));
    let names = rows.flat_map(|(names, _)| names);
    names.filter(|name| name.starts_with(|first: char| first.is_ascii_uppercase())).collect()
}

fn permission(command: &str) -> String {
    format!("+{}", command.to_lowercase().replace(' ', "|"))
}

fn documented(user: &str) -> Vec<&'static str> {
    let prefix = format!("ACL SETUSER {user} on >password ");
    let line = PAGE.lines().find_map(|line| line.strip_prefix(&*prefix));
    line.expect("permissions").split(' ').collect()
}

/// Adds a user that lacks some of the documented permissions and returns a URL with it.
async fn lacking(server: &Server, user: &str, permissions: &[&str]) -> String {
    let others = documented(user).into_iter().filter(|it| !permissions.contains(it));
    let others = others.collect::<Vec<_>>().join(" ");
    let others = others.replace("~app:events", "~tower-sse");
    let command = format!("ACL SETUSER less reset on >password {others}");
    assert_eq!(server.command::<String>(&command).await, "OK");
    server.url().replace("//", "//less:password@")
}

async fn runs(url: &str) -> Result<Runs, Error> {
    Runs::connect(Redis::open(url).unwrap().runs("app")).await
}

/// Returns the errors of a hub and of runs, neither of which may connect.
async fn errors(url: &str) -> [String; 2] {
    let hub = Hub::connect(patient(Redis::open(url).unwrap())).await.unwrap_err();
    [hub.to_string(), runs(url).await.unwrap_err().to_string()]
}

#[test]
fn each_permission_has_a_row_and_each_row_a_test() {
    let tested = [needed(0), needed(1), OTHERS.to_vec(), vec!["run_id"]].concat();
    for (table, user) in ["app", "runs"].into_iter().enumerate() {
        let names: Vec<_> = rows(table).into_iter().flat_map(|(names, _)| names).collect();
        let permissions = documented(user);
        let commands = permissions.iter().filter(|it| it.starts_with('+'));
        let has_row = |it: &&&str| names.iter().any(|name| permission(name) == ***it);
        let missing: Vec<_> = commands.filter(|it| !has_row(it)).collect();
        assert_eq!(missing, [&""; 0], "of {user}");
        let untested: Vec<_> = names.iter().filter(|name| !tested.contains(name)).collect();
        assert_eq!(untested, [&""; 0], "of {user}");
    }
}

#[tokio::test]
async fn hub_that_lacks_a_command_names_it_when_it_connects() {
    let Some(server) = Server::start().await else { return };
    for command in needed(0).into_iter().filter(|command| *command != "SELECT") {
        let permission = permission(command);
        let url = lacking(&server, "app", &[&permission]).await;
        let error = Hub::connect(patient(Redis::open(&url).unwrap())).await.unwrap_err();
        assert!(error.to_string().contains(&permission[1..]), "{command}: {error}");
        assert_eq!(error.kind(), ErrorKind::NotPermitted, "{command}");
    }
}

#[tokio::test]
async fn runs_that_lack_a_command_name_it_when_they_connect() {
    let Some(server) = Server::start().await else { return };
    // `HELLO` stands for RESP3, which has no permission of its own.
    let commands = needed(1).into_iter().filter(|command| !["SELECT", "HELLO"].contains(command));
    for command in commands {
        let permission = permission(command);
        let error = runs(&lacking(&server, "runs", &[&permission]).await).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotPermitted, "{command}: {error}");
        let error = error.to_string();
        // Redis 7.0 does not say which command of a script it refuses.
        let is_hidden = command == "HSET" && error.contains("The user executing the script");
        assert!(is_hidden || error.contains(&permission[1..]), "{command}: {error}");
    }
}

/// A service can refuse a command by not knowing it, not only by the permissions of a user.
#[tokio::test]
async fn unknown_command_is_named_too() {
    let Some(server) = Server::start().await else { return };
    for (texts, name) in [
        (&[("HELLO", "HELLX")][..], "HELLX"),
        (&[("KILL", "KILX")], "CLIENT KILL"),
        (&[("HKEYS", "HKEYX")], "HKEYX"),
    ] {
        let proxy = replacing(&server, texts).await;
        let error = runs(&format!("redis://{}/", proxy.address)).await.unwrap_err();
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
}

#[tokio::test]
async fn database_needs_a_permission() {
    let Some(server) = Server::start().await else { return };
    let user = "ACL SETUSER less on >password ~* &* +@all -select";
    assert_eq!(server.command::<String>(user).await, "OK");
    let url = server.url().replace("//", "//less:password@") + "3";
    for error in errors(&url).await {
        assert!(error.contains("select") || error.contains("database"), "{error}");
    }
}

#[tokio::test]
async fn hub_without_other_commands_does_less() {
    let Some(server) = Server::start().await else { return };
    let without = ["+client|setname", "+memory|usage", "+xadd", "+xtrim"];
    let url = lacking(&server, "app", &without).await;
    // The script that would create the stream may not add an entry.
    let error = Hub::connect(patient(Redis::open(&url).unwrap())).await.unwrap_err();
    assert!(error.to_string().contains("mark a loss"), "{error}");
    assert_eq!(error.kind(), ErrorKind::NotPermitted, "{error}");

    let other = Process::connect(server.broker()).await;
    let broker = || patient(Redis::open(&url).unwrap());
    let mut process = Process::connect(broker()).await;
    until(|| process.stats.log().is_some()).await;
    let log = process.stats.log().unwrap();
    assert!(log.bytes.is_none() && process.health.last_error().is_none());
    _ = other.publish([0]).await;
    process.reads([0]).await;
    assert!(process.refusal().await.to_string().contains("xadd"));
    let clients: String = server.command("CLIENT LIST").await;
    let unnamed = clients.lines().filter(|client| client.contains(" user=less "));
    assert!(unnamed.clone().count() == 2 && unnamed.clone().all(|it| it.contains(" name= ")));

    let age = Duration::from_millis(10);
    let builder = Hub::builder().retention(Retention::new().age(age));
    let trimming = Process::connect_with(builder, broker().max_age(age)).await;
    trimming.reports("survey").await;
    assert!(trimming.stats.log().is_none() && trimming.health.is_ready());
    assert_eq!(server.length().await, 2);

    let granted: String = server.command("ACL SETUSER less +memory|usage").await;
    assert_eq!(granted, "OK");
    let _: usize = server.command("CLIENT KILL USER less").await;
    until(|| process.stats.log().is_some_and(|log| log.bytes.is_some())).await;
}

#[tokio::test]
async fn runs_without_other_commands_do_less() {
    let Some(server) = Server::start().await else { return };
    let url = lacking(&server, "runs", &["+client|setname", "+unsubscribe"]).await;
    let store = Redis::open(&url).unwrap().runs("app");
    let health = store.health();
    let [reader, owner] = [Runs::connect(store).await.unwrap(), runs(&server.url()).await.unwrap()];
    start_run(&owner, "turn").await;
    let (parts, ()) = Request::new(()).into_parts();
    let answer = reader.answer(&RunKey::new("ann", "turn").unwrap(), &parts).await;
    drop(answer.expect("the run"));
    let refused = async || server.command::<Vec<redis::Value>>("ACL LOG").await;
    until_async(async || format!("{:?}", refused().await).contains("unsubscribe")).await;
    // If the refusal had broken a connection, the store would have to reconnect for this answer.
    start_run(&owner, "next").await;
    let answer = reader.answer(&RunKey::new("ann", "next").unwrap(), &parts).await;
    assert_eq!(answer.expect("the run").status(), StatusCode::OK);
    assert_eq!((health.reconnections(), health.is_ready()), (0, true));
}

/// Garnet doesn't name the command that it doesn't know.
#[tokio::test]
async fn error_names_a_command_that_the_server_does_not_name() {
    type Texts = [(&'static str, &'static str); 2];
    const COMMANDS: [(&str, &Texts); 5] = [
        ("EVAL", &[("$4\r\nEVAL", "$4\r\nEVAX"), ("'EVAX'", "it")]),
        ("TIME", &[("$4\r\nTIME", "$4\r\nTIMX"), ("'TIMX'", "it")]),
        ("XLEN", &[("$4\r\nXLEN", "$4\r\nXLEX"), ("'XLEX'", "it")]),
        ("XREVRANGE", &[("$9\r\nXREVRANGE", "$9\r\nXREVRANGX"), ("'XREVRANGX'", "it")]),
        ("XREAD", &[("$5\r\nXREAD", "$5\r\nXREAX"), ("'XREAX'", "it")]),
    ];
    let Some(server) = Server::start().await else { return };
    for (command, texts) in COMMANDS {
        let proxy = replacing(&server, texts).await;
        let redis = Redis::open(&format!("redis://{}/", proxy.address)).unwrap();
        let error = Hub::connect(patient(redis)).await.unwrap_err().to_string();
        let named = format!("the server doesn't know {command}: ");
        assert!(error.contains(&named), "{command}: {error}");
        assert!(error.contains("unknown command it"), "{command}: {error}");
    }
}

// Fields of `INFO`.

#[tokio::test]
async fn server_without_an_id_is_named_when_connecting() {
    let Some(server) = Server::start().await else { return };
    let proxy = replacing(&server, &[("run_id:", "rux_id:")]).await;
    for error in errors(&format!("redis://{}/", proxy.address)).await {
        assert!(error.contains("INFO lacks `run_id`"), "{error}");
    }
}

/// Redis 6 returns only one section of `INFO` at a time. miniredis knows one argument, and
/// fakeredis doesn't know the command.
#[tokio::test]
async fn error_says_what_is_needed_instead_of_old_servers_and_mocks() {
    let Some(server) = Server::start().await else { return };
    for (instead, text) in [
        (&[("$4\r\nINFO", "$3\r\nSET")], "needed"),
        (&[("$4\r\nINFO", "$3\r\nGET")], "wrong number of arguments for 'get'"),
        (&[("$4\r\nINFO", "$4\r\nINFX")], "unknown command 'INFX'"),
    ] {
        let proxy = replacing(&server, instead).await;
        for error in errors(&format!("redis://{}/", proxy.address)).await {
            assert!(error.contains("Redis 7 or Valkey is needed"), "{error}");
            assert!(error.contains(text), "{error}");
        }
    }
}

#[tokio::test]
async fn replica_that_does_not_say_so_refuses_events_and_runs() {
    let Some(server) = Server::start().await else { return };
    let Some(replica) = Server::start().await else { return };
    _ = Process::connect(server.broker()).await;
    replica.replicate(&server).await;
    let proxy = replacing(&replica, &[("role:", "rolx:")]).await;
    let redis = Redis::open(&format!("redis://{}/", proxy.address)).unwrap();
    let process = Process::connect(patient(redis.clone())).await;
    let reason = process.refusal().await;
    assert_eq!(reason.downcast_ref().map(Error::kind), Some(ErrorKind::ReadOnly), "{reason}");
    let error = Runs::connect(redis.runs("app")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
}

/// A primary redirects a hub even if it hides its mode: a hub needs the mode only of a replica.
#[tokio::test]
async fn cluster_that_hides_its_mode_redirects_hubs_and_refuses_runs() {
    let Some(nodes) = Nodes::start(KEY).await else { return };
    let other = &nodes.nodes[(nodes.owner + 1) % nodes.nodes.len()];
    let proxy =
        replacing(other, &[("redis_mode:", "redis_modx:"), ("server_mode:", "server_modx:")]).await;
    let redis = Redis::open(&format!("redis://{}/", proxy.address)).unwrap();
    publishes_and_reads(patient(redis.clone())).await;
    let error = Runs::connect(redis.runs("app")).await.unwrap_err();
    assert!(error.to_string().contains("needs a hash tag"), "{error}");
}

#[tokio::test]
async fn eviction_is_reported_as_far_as_it_is_known() {
    let Some(server) = Server::start().await else { return };
    let _: String = server.command("CONFIG SET maxmemory 100mb").await;
    for (policy, texts, evicts) in [
        ("allkeys-lru", &[("maxmemory:", "maxmemorx:")][..], false),
        ("noeviction", &[("maxmemory_policy:", "maxmemory_policx:")], true),
    ] {
        let _: String = server.command(&format!("CONFIG SET maxmemory-policy {policy}")).await;
        let proxy = replacing(&server, texts).await;
        let redis = Redis::open(&format!("redis://{}/", proxy.address)).unwrap();
        let store = redis.runs("app");
        let stats = store.stats();
        let _runs = Runs::connect(store).await.unwrap();
        let process = Process::connect(patient(redis)).await;
        assert_eq!([process.stats.evicts(), stats.evicts()], [evicts; 2], "{policy}");
    }
}

/// The last entry that `behind` has read is trimmed while this process is away. If `INFO` lacks a
/// field, it is then unknown whether the server's newer entries are from the same history, so
/// clients of both processes learn of a loss. With all fields, only clients of `behind` do.
#[tokio::test]
async fn less_lineage_means_more_gaps() {
    let Some(server) = Server::start().await else { return };
    for (texts, losses) in [
        (&[("cmdstat_", "cmdxtat_")][..], [1, 2]),
        (&[("master_replid:", "master_replix:")], [1, 2]),
        (&[], [0, 1]),
    ] {
        let _: String = server.command("FLUSHALL").await;
        let proxy = replacing(&server, texts).await;
        let url = format!("redis://{}/", proxy.address);
        let mut ahead = Process::connect(server.broker()).await;
        let mut behind = Process::connect(patient(Redis::open(&url).unwrap())).await;
        let first = ahead.publish([0]).await;
        ahead.reads([0]).await;
        behind.reads([0]).await;
        behind.has_read(first).await;
        proxy.alternate([free_port(); 2]);
        proxy.cut();
        until(|| !behind.health.is_ready()).await;
        _ = ahead.publish_and_read([1]).await;
        let _: usize = server.command("XTRIM tower-sse MAXLEN 1").await;
        proxy.alternate([server.port(); 2]);
        until(|| behind.health.is_ready()).await;
        _ = ahead.publish_and_read([2]).await;
        until(|| behind.hub.position() == ahead.hub.position()).await;
        assert_eq!([ahead.stats.losses(), behind.stats.losses()], losses, "{texts:?}");
    }
}
