//! The model in Node: pages with the module, whose time is faster, and random faults. This file has
//! the servers behind it, which `model.mjs` starts and disturbs by requests.

use crate::*;

#[derive(Clone, Default)]
struct Rigs(Arc<Mutex<Vec<Arc<Rig>>>>);

impl Rigs {
    /// Returns the address of a server that takes commands.
    async fn serve() -> SocketAddr {
        let routes = Router::new()
            .route("/rigs", post(Self::start))
            .route("/rigs/{index}/{command}", post(Self::command))
            .with_state(Self::default());
        serve_axum(routes).await
    }

    /// Starts a server with these settings. Returns its index and its origin.
    async fn start(State(it): State<Self>, Json(settings): Json<Settings>) -> Json<Value> {
        let rig = Rig::start(settings, Router::new()).await;
        let origin = format!("http://{}", rig.wire.address);
        let mut rigs = it.0.lock().unwrap();
        rigs.push(Arc::new(rig));
        Json(json!({ "index": rigs.len() - 1, "origin": origin }))
    }

    async fn command(
        State(it): State<Self>,
        Path((index, command)): Path<(usize, String)>,
        text: String,
    ) -> Json<Value> {
        let rig = Arc::clone(&it.0.lock().unwrap()[index]);
        match &*command {
            "publish" => rig.publish(&text).await,
            "unheard" => rig.publish_named("unheard", &text, false).await,
            "end" => rig.publish_named("done", &text, true).await,
            "mode" => rig.faults.set(&text),
            "cut" => rig.wire.cut(),
            "freeze" => rig.wire.freeze(),
            "listen" => rig.wire.listen(text == "true"),
            "finish" => rig.finish(),
            "stop" => rig.stop(),
            "restart" => rig.restart(text == "kept").await,
            "occupy" => rig.occupy(text == "true").await,
            "asked" | "streams" | "ping" => {}
            _ => panic!("no command {command}"),
        }
        Json(match &*command {
            "asked" => json!(rig.faults.asked()),
            "streams" => json!(rig.running().hub.stats().subscribers),
            _ => Value::Null,
        })
    }
}

/// Runs a script with the address of the commands, and returns its lines.
pub(crate) async fn run(script: &str, arguments: &[&str]) -> Option<(bool, Vec<String>)> {
    let mut command = node(&format!("tests/page/{script}"), &["undici"])?;
    command.arg(format!("http://{}", Rigs::serve().await)).args(arguments);
    let mut program = Program::start(command.stderr(Stdio::inherit()));
    let mut output = program.output();
    let mut lines = Vec::new();
    while let Some(line) = output.next_line().await.unwrap() {
        println!("{line}");
        lines.push(line);
    }
    let succeeds = program.exited().await.success();
    Some((succeeds, lines))
}

/// Both transports at once. The seeds are the same in every run: `.ci/slow page` has others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_random_fault_loses_or_doubles_an_event() {
    let first = env::var("TOWER_SSE_FIRST_SEED").unwrap_or("1".to_owned());
    let seeds = env::var("TOWER_SSE_SEEDS").unwrap_or("10".to_owned());
    let run = async |transport: &str| run("model.mjs", &[transport, &first, &seeds]).await;
    let (fetch, native) = tokio::join!(run("fetch"), run("native"));
    assert!(fetch.is_none_or(|it| it.0) && native.is_none_or(|it| it.0));
}

/// A page keeps the module that it has loaded when a newer server takes over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modules_of_all_releases_work_with_this_server() {
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page/releases")).unwrap()
    {
        let file = format!("file://{}", entry.unwrap().path().display());
        let run = async |transport: &str| run("model.mjs", &[transport, "1", "3", &file]).await;
        let (fetch, native) = tokio::join!(run("fetch"), run("native"));
        assert!(fetch.is_none_or(|it| it.0) && native.is_none_or(|it| it.0), "{file}");
    }
}

/// Fifty streams are opened and closed, some before their first request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_streams_leave_no_request_listener_or_timer() {
    for transport in ["fetch", "native"] {
        let Some((succeeds, lines)) = run("rest.mjs", &[transport]).await else { return };
        assert!(succeeds && lines == ["nothing is left"], "{transport}: {lines:?}");
    }
}

/// The page is prerendered, left, hidden, frozen and offline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stream_follows_the_page_and_loses_nothing() {
    for transport in ["fetch", "native"] {
        let Some((succeeds, lines)) = run("lifecycle.mjs", &[transport]).await else { return };
        assert!(succeeds && lines == ["each event came once"], "{transport}: {lines:?}");
    }
}
