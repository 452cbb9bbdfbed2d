use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Stdio,
    time::Duration,
};

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::tools::{Directory, Tools};

/// Longer than anything a test awaits, so that one that hangs fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A headless Chromium, driven by a chromedriver of its own. Both end when it is dropped.
pub(crate) struct Chromium {
    page: Client,
    driver_port: u16,
    _driver: Child,
    // Who writes to a pipe that nobody holds any more is killed.
    _driver_output: Lines<BufReader<ChildStdout>>,
    _profile: Directory,
}

impl Chromium {
    pub(crate) async fn start(tools: &Tools) -> Self {
        Self::start_with(tools, &[], &json!({})).await
    }

    /// Starts it with further arguments, and further options of chromedriver.
    pub(crate) async fn start_with(tools: &Tools, arguments: &[&str], options: &Value) -> Self {
        let mut driver = Command::new(&tools.chromedriver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(driver.stdout.take().unwrap()).lines();
        let driver_port = timeout(PATIENCE, port(&mut output)).await.expect("chromedriver's port");

        let profile = Directory::new("profile");
        let user_data = format!("--user-data-dir={}", profile.path().display());
        let own = [
            "--headless",
            // It does not run as root otherwise.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            // Containers have little shared memory.
            "--disable-dev-shm-usage",
            &user_data,
        ];
        let mut options = options.clone();
        options["binary"] = json!(tools.chromium);
        options["args"] = json!([&own, arguments].concat());
        // A chromedriver that still waits for a script cannot be asked to end its browser.
        let timeouts = json!({ "script": PATIENCE.as_millis() as u64 });
        let capabilities = json!({ "goog:chromeOptions": options, "timeouts": timeouts });
        let Value::Object(capabilities) = capabilities else { unreachable!() };
        let driver_address = format!("http://127.0.0.1:{driver_port}");
        let mut client = ClientBuilder::new(HttpConnector::new());
        let page = client.capabilities(capabilities).connect(&driver_address);
        let page = timeout(PATIENCE, page).await.expect("a browser").unwrap();
        Self { page, driver_port, _driver: driver, _driver_output: output, _profile: profile }
    }

    pub(crate) async fn open(&self, url: &str) {
        timeout(PATIENCE, self.page.goto(url)).await.expect("a page").unwrap();
    }

    /// The value of a JavaScript expression, as soon as it is a true one.
    pub(crate) async fn until(&self, expression: &str) -> Value {
        self.answer(&format!(
            "const answer = arguments[arguments.length - 1];
            const look = () => {{
                const value = {expression};
                value ? answer(value) : setTimeout(look, 10);
            }};
            look();"
        ))
        .await
        .unwrap_or_else(|| panic!("{expression} did not become true"))
    }

    /// What a script gives to the function that is its last argument.
    pub(crate) async fn answer(&self, script: &str) -> Option<Value> {
        let answer = self.page.execute_async(script, Vec::new());
        match timeout(2 * PATIENCE, answer).await.expect("chromedriver to give up") {
            Err(error) if error.is_script_timeout() => None,
            answer => Some(answer.unwrap()),
        }
    }

    pub(crate) async fn click(&self, selector: &str) {
        self.page.find(Locator::Css(selector)).await.unwrap().click().await.unwrap();
    }

    pub(crate) async fn choose(&self, selector: &str, value: &str) {
        let select = self.page.find(Locator::Css(selector)).await.unwrap();
        select.select_by_value(value).await.unwrap();
    }

    pub(crate) async fn screenshot(&self) -> Vec<u8> {
        self.page.screenshot().await.unwrap()
    }
}

async fn port(output: &mut Lines<BufReader<ChildStdout>>) -> u16 {
    loop {
        let line = output.next_line().await.unwrap().expect("chromedriver to start");
        if let Some((_, port)) = line.split_once(" started successfully on port ") {
            return port.trim_end_matches('.').parse().unwrap();
        }
    }
}

impl Drop for Chromium {
    /// A chromedriver that is killed leaves its browser behind; one that is asked does not.
    fn drop(&mut self) {
        let Ok(mut connection) = TcpStream::connect(("127.0.0.1", self.driver_port)) else {
            return;
        };
        _ = connection.set_read_timeout(Some(PATIENCE));
        _ = connection.write_all(b"GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        _ = connection.read_to_end(&mut Vec::new());
    }
}
