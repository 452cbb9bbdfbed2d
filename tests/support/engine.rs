//! A page of a test in Chromium, Firefox or WebKitGTK, or the page's script in Node. The page
//! reports to the test's server, so that only a reused Chromium has a driver.

#![allow(dead_code)]

use std::{path::Path, process::Stdio};

use axum::routing::{get, post};
use axum::{Router, response::Html};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::{browser::Tools, chromium, relay::Relay};
use crate::support::{Directory, find, package, serve_axum, soon};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Engine {
    /// One of the browsers that tests reuse. Opening a page waits until it has loaded.
    Chromium,
    /// A browser for one page, without a driver. A driver changes how Chromium treats workers and
    /// hidden tabs, and makes many short requests slower.
    ChromiumAlone,
    Firefox,
    WebKitGtk,
    /// Node, with npm's `eventsource` package.
    Node,
}

/// The preferences of Firefox: pages may open windows, and an idle service worker ends after 2
/// seconds instead of 30.
const FIREFOX: &str = "user_pref('dom.disable_open_during_load', false);
    user_pref('dom.serviceWorkers.idle_timeout', 2000);";

/// A program for Node that runs the script of a page. Its arguments are the directory of the
/// `eventsource` package and the URL of the page.
const NODE: &str = "
    const [, library, url] = process.argv;
    const request = fetch;
    globalThis.fetch = (path, options) => request(new URL(path, url), options);
    globalThis.EventSource = class extends require(library).EventSource {
        constructor(path) { super(new URL(path, url)); }
    };
    fetch(url).then(page => page.text()).then(page => eval(page.split(/<.?script[^>]*>/)[1]));";

/// An open page, and the reports that it sends to its server.
pub(crate) struct EnginePage {
    reports: mpsc::UnboundedReceiver<String>,
    /// All connections between the engine and the server.
    pub(crate) relay: Relay,
    _engine: OpenEngine,
}

/// An engine with a page. Dropping it resets a reused browser, or kills the engine with its
/// processes and its display.
pub(crate) enum OpenEngine {
    Reused { _chromium: Box<chromium::Chromium> },
    Own { process: Box<Child>, _profile: Directory },
}

impl Engine {
    /// Returns a command that opens the page whose URL is appended to it, with the engine's profile
    /// in this directory. Returns `None` if the engine is not installed.
    fn command(self, profile: &Path) -> Option<Command> {
        let command = match self {
            Self::Chromium | Self::ChromiumAlone => {
                let mut command = Command::new(Tools::find()?.chromium);
                command.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]);
                command.args(["--disable-dev-shm-usage", "--disable-popup-blocking"]);
                command.arg(format!("--user-data-dir={}", profile.display()));
                command
            }
            Self::Firefox => {
                let mut command = Command::new(find(&["firefox-esr", "firefox"])?);
                std::fs::write(profile.join("user.js"), FIREFOX).unwrap();
                command.args(["--headless", "--no-remote", "--profile"]).arg(profile);
                command
            }
            Self::WebKitGtk => {
                let (display, browser) = (find(&["xvfb-run"])?, find(&["surf"])?);
                let mut command = Command::new(display);
                command.arg("--auto-servernum").arg(browser).env("HOME", profile);
                command
            }
            Self::Node => {
                let (node, package) = (find(&["node", "nodejs"])?, package("eventsource")?);
                let mut command = Command::new(node);
                command.args(["--eval", NODE]).arg(package);
                command
            }
        };
        Some(command)
    }

    /// Opens a page. Returns `None` if the engine is not installed.
    pub(crate) async fn open(self, url: &str) -> Option<OpenEngine> {
        if matches!(self, Self::Chromium) {
            let chromium = chromium::Chromium::start(&Tools::find()?).await;
            chromium.open(url).await;
            return Some(OpenEngine::Reused { _chromium: Box::new(chromium) });
        }
        let profile = Directory::new("engine");
        let mut command = self.command(profile.path())?;
        command.arg(url).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let process = Box::new(command.spawn().unwrap());
        Some(OpenEngine::Own { process, _profile: profile })
    }
}

impl EnginePage {
    /// Serves `app` and a page with this script, and opens the page. In the script, `report(text)`
    /// sends a report. Returns `None` if the engine is not installed.
    pub(crate) async fn open(engine: Engine, app: Router, script: &str) -> Option<Self> {
        let page = format!(
            "<!doctype html><script type=module>
            let last = Promise.resolve();
            globalThis.report = body => last = last
                .then(() => fetch('/report', {{ method: 'POST', body }}))
                .catch(() => {{}}); // a cut can end its response
            {script}</script>"
        );
        let (sender, reports) = mpsc::unbounded_channel();
        let report = async move |text: String| _ = sender.send(text);
        let app = app.route("/", get(Html(page))).route("/report", post(report));
        let server = serve_axum(app).await;
        let relay = Relay::to(server.port()).await;
        let engine = engine.open(&format!("http://{}/", relay.address)).await?;
        Some(Self { reports, relay, _engine: engine })
    }

    pub(crate) async fn next_report(&mut self) -> String {
        soon(self.reports.recv()).await.expect("the server lives as long as the test")
    }
}

impl Drop for OpenEngine {
    fn drop(&mut self) {
        let Self::Own { process, .. } = self else { return };
        let group = process.id().expect("it is not awaited");
        _ = killpg(Pid::from_raw(group.cast_signed()), Signal::SIGKILL);
    }
}
