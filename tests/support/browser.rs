//! Headless Chromium browsers, and the pool from which tests reuse them: starting one takes longer
//! than most tests.

#![allow(dead_code)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex, Weak};
use std::{net::TcpStream, path::PathBuf, process::Stdio};

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Directory, PATIENCE, Program, find, soon};

pub(crate) struct Tools {
    pub(crate) chromium: PathBuf,
    pub(crate) chromedriver: PathBuf,
}

impl Tools {
    pub(crate) fn find() -> Option<Self> {
        Some(Self {
            chromium: find(&["chromium", "chromium-browser", "google-chrome"])?,
            chromedriver: find(&["chromedriver"])?,
        })
    }
}

/// A headless Chromium with a chromedriver of its own. Dropping a `Browser` ends both.
pub(crate) struct Browser {
    session: String,
    driver_port: u16,
    _driver: Program,
    _profile: Directory,
}

impl Browser {
    /// Starts a browser with additional `arguments` and `goog:chromeOptions`, and returns it with a
    /// client of its page.
    pub(crate) async fn start(
        tools: &Tools,
        arguments: &[&str],
        options: &Value,
    ) -> (Self, Client) {
        let (driver, driver_port) = driver(tools).await;

        let profile = Directory::new("profile");
        let user_data = format!("--user-data-dir={}", profile.path().display());
        let own = [
            "--headless",
            // Chromium does not run as root without this argument.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            // Containers have little shared memory.
            "--disable-dev-shm-usage",
            // Without this argument, Chromium paints an animated page 60 times a second, which no
            // test needs.
            "--force-prefers-reduced-motion",
            &user_data,
        ];
        let mut options = options.clone();
        options["binary"] = json!(tools.chromium);
        options["args"] = json!([&own, arguments].concat());
        // chromedriver cannot end its browser while a script runs, so scripts time out.
        let timeouts = json!({ "script": PATIENCE.as_millis() as u64 });
        let capabilities = json!({ "goog:chromeOptions": options, "timeouts": timeouts });
        let Value::Object(capabilities) = capabilities else { unreachable!() };
        let mut client = ClientBuilder::new(HttpConnector::new());
        let address = format!("http://127.0.0.1:{driver_port}");
        let page = client.capabilities(capabilities).connect(&address);
        let page = soon(page).await.unwrap();
        // Keeps the session open when the client is dropped: a later test may use the browser.
        page.persist().await.unwrap();
        let session = page.session_id().await.unwrap().expect("a session");
        let browser = Self { session, driver_port, _driver: driver, _profile: profile };
        (browser, page)
    }

    pub(crate) async fn page(&self) -> Client {
        let address = format!("http://127.0.0.1:{}", self.driver_port);
        let page = Client::with_existing_session(&address, &self.session, HttpConnector::new());
        let page = page.await.unwrap();
        page.persist().await.unwrap();
        page
    }

    /// Resets the browser: a new tab is the only one, and the storage of pages is cleared.
    pub(crate) fn empty(&self) -> io::Result<()> {
        let select = |tab: &Value| self.command("POST", "window", &json!({ "handle": tab }));
        let new = self.command("POST", "window/new", &json!({ "type": "tab" }))?["handle"].take();
        loop {
            let tabs = self.command("GET", "window/handles", &json!({}))?;
            let mut old =
                tabs.as_array().into_iter().flatten().filter(|tab| **tab != new).peekable();
            if old.peek().is_none() {
                break;
            }
            for tab in old {
                // A page can have closed its tab in the meantime.
                if select(tab).is_ok() {
                    _ = self.command("DELETE", "window", &json!({}));
                }
            }
        }
        select(&new)?;
        let everywhere = json!({ "origin": "*", "storageTypes": "all" });
        let clear = json!({ "cmd": "Storage.clearDataForOrigin", "params": everywhere });
        self.command("POST", "goog/cdp/execute", &clear)?;
        Ok(())
    }

    /// Sends a command to chromedriver and returns its answer. Blocks, so that the `drop` of a
    /// `Chromium` can call it.
    pub(crate) fn command(
        &self,
        method: &str,
        path: &str,
        parameters: &Value,
    ) -> io::Result<Value> {
        let path = format!("/session/{}/{path}", self.session);
        let mut answer = BufReader::new(self.request(method, &path, &parameters.to_string())?);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if answer.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(io::Error::other(head));
        }
        // The connection stays open after the answer, so only one JSON value is read from it.
        let mut body = serde_json::Deserializer::from_reader(answer).into_iter::<Value>();
        Ok(body.next().ok_or(io::ErrorKind::UnexpectedEof)??["value"].take())
    }

    fn request(&self, method: &str, path: &str, body: &str) -> io::Result<TcpStream> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.driver_port))?;
        connection.set_read_timeout(Some(PATIENCE))?;
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {length}\r\n\r\n"
        );
        connection.write_all([&head, body].concat().as_bytes())?;
        Ok(connection)
    }
}

impl Drop for Browser {
    /// A chromedriver that is killed leaves its browser behind; one that is asked to quit does not.
    fn drop(&mut self) {
        if let Ok(mut answer) = self.request("GET", "/shutdown", "") {
            _ = answer.read_to_end(&mut Vec::new());
        }
    }
}

/// Starts a chromedriver, and returns it with its port. Tries up to five times, because
/// chromedriver exits if another process takes its port.
async fn driver(tools: &Tools) -> (Program, u16) {
    for _ in 0..5 {
        let mut command = Command::new(&tools.chromedriver);
        let mut driver = Program::start(command.arg("--port=0").stderr(Stdio::null()));
        while let Some(line) = driver.line().await {
            if let Some((_, port)) = line.split_once(" started successfully on port ") {
                return (driver, port.trim_end_matches('.').parse().unwrap());
            }
        }
    }
    panic!("chromedriver does not start");
}

/// The browsers that no test uses at the moment. `SHARED` holds them weakly, so that the last test
/// that uses a browser drops them: a static is not dropped at the exit of the process.
#[derive(Default)]
pub(crate) struct Idle(Mutex<Vec<Browser>>);

impl Idle {
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Idle>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap();
        shared.upgrade().unwrap_or_else(|| {
            let idle = Arc::default();
            *shared = Arc::downgrade(&idle);
            idle
        })
    }

    pub(crate) fn take(&self) -> Option<Browser> {
        self.0.lock().unwrap().pop()
    }

    pub(crate) fn put(&self, browser: Browser) {
        self.0.lock().unwrap().push(browser);
    }
}
