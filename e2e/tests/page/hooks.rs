//! The guide's hooks for React, Vue and Svelte, in pages that node bundles.

use browser::Tools;
use chromium::Chromium;

use crate::{rig::PAGE, scenes::fast, *};

/// Records what the browser reports, then loads the bundle.
const DOCUMENT: &str =
    "<!doctype html><meta charset=utf-8><link rel=icon href=data:,><body><script>
    window.noise = [];
    onerror = text => noise.push(text);
    console.warn = console.error = (...texts) => noise.push(texts.join(' '));
    </script><script type=module src=/bundle.js></script>";

/// Bundles the guide's hook into a page.
async fn bundle(framework: &str, text: &str) -> Option<String> {
    let packages = ["esbuild", "react", "react-dom", "svelte", "vue"];
    let mut command = node("tests/page/hooks.mjs", &packages)?;
    let guide = fs::read_to_string(format!("{PAGE}/../docs/guide/clients.md")).unwrap();
    let mut bundler = command
        .arg(framework)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let hook = guide::code(&guide, text);
    assert!(hook.lines().count() <= 15, "{hook}");
    bundler.stdin.take().unwrap().write_all(hook.as_bytes()).await.unwrap();
    let output = soon(bundler.wait_with_output()).await.unwrap();
    assert!(output.status.success(), "{framework}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Waits until the page shows these events, each once and in order.
async fn shows(browser: &Chromium, events: &[&str]) {
    let shown = "JSON.stringify([...document.querySelectorAll('li')].map(it => it.innerText))";
    browser.until(&format!("{shown} === {}", json!(json!(events).to_string()))).await;
}

async fn hook_follows_its_component(framework: &str, text: &str) {
    let (Some(tools), Some(bundle)) = (Tools::find(), bundle(framework, text).await) else {
        return;
    };
    let bundle = get(([("content-type", "text/javascript")], bundle));
    let module = async |headers: HeaderMap| tower_sse::page::module(&headers);
    let pages = Router::new()
        .route("/", get(Html(DOCUMENT)))
        .route("/bundle.js", bundle)
        .route("/tower-sse.js", get(module));
    let rig = Rig::start(fast(), pages).await;
    let browser = Chromium::start(&tools).await;
    browser.open(&format!("http://{}/", rig.wire.address)).await;
    let run = async |script: &str| _ = browser.until(&format!("({script}, true)")).await;
    let streams = async |streams| until(|| rig.running().hub.stats().subscribers == streams).await;
    let asked = || rig.faults.asked().len();
    let publish = async |events: &[&str]| {
        for event in events {
            rig.publish(event).await;
        }
    };

    browser.until("window.app").await;
    // In React's StrictMode, a component mounts twice.
    run("app.mount()").await;
    streams(1).await;
    publish(&["a"]).await;
    shows(&browser, &["a"]).await;
    assert_eq!(asked(), 1);

    // What the page has missed comes in one task.
    rig.wire.cut();
    streams(0).await;
    publish(&["b", "b", "b", "c", "d"]).await;
    shows(&browser, &["a", "b", "b", "b", "c", "d"]).await;

    let before = asked();
    run("app.change('/events?other')").await;
    shows(&browser, &[]).await;
    until(|| asked() > before).await;
    streams(1).await;
    publish(&["e"]).await;
    shows(&browser, &["e"]).await;
    assert_eq!(asked(), before + 1);

    run("(app.change('/events'), app.change('/events?other'))").await;
    // React keeps its stream, and the others open another one.
    sleep(Duration::from_secs(1)).await;
    streams(1).await;
    publish(&["f"]).await;
    browser.until("/^(e\\s+)?f$/.test(document.body.innerText.trim())").await;
    assert!(asked() <= before + 2);

    run("app.unmount()").await;
    streams(0).await;
    publish(&["unseen"]).await;
    run("app.mount()").await;
    streams(1).await;
    publish(&["g"]).await;
    shows(&browser, &["g"]).await;
    assert_eq!(browser.until("[noise]").await, json!([[]]));
}

#[tokio::test]
async fn hook_of_react_follows_its_component() {
    hook_follows_its_component("react", "from \"react\"").await;
}

#[tokio::test]
async fn hook_of_vue_follows_its_component() {
    hook_follows_its_component("vue", "from \"vue\"").await;
}

#[tokio::test]
async fn hook_of_svelte_follows_its_component() {
    hook_follows_its_component("svelte", "$effect").await;
}
