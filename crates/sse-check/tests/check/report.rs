use std::{fmt, net::SocketAddr, panic::AssertUnwindSafe, process::Stdio};

use futures_util::FutureExt;
use serde_json::Value;
use tokio::process::Command;

pub(crate) struct Report {
    pub(crate) code: i32,
    pub(crate) output: String,
    pub(crate) error: String,
    pub(crate) json: Value,
}

impl Report {
    pub(crate) async fn text(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sse-check"));
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code().expect("an exit status"),
            output: text(output.stdout),
            error: text(output.stderr),
            json: Value::Null,
        }
    }

    pub(crate) async fn of(arguments: &[&str]) -> Self {
        let mut report = Self::text(&[arguments, &["--json"]].concat()).await;
        assert_eq!(report.error, "");
        report.json = serde_json::from_str(&report.output).unwrap();
        report
    }

    pub(crate) fn verdict(&self, check: &str) -> &str {
        self.check(check)["verdict"].as_str().unwrap()
    }

    pub(crate) fn check(&self, name: &str) -> &Value {
        let checks = self.json["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).expect("a check of this name")
    }

    pub(crate) fn all(&self, verdict: &str) -> Vec<&str> {
        let checks = self.json["checks"].as_array().unwrap().iter();
        let checks = checks.filter(|check| check["verdict"] == verdict);
        checks.map(|check| check["name"].as_str().unwrap()).collect()
    }

    #[track_caller]
    pub(crate) fn expect(&self, check: &str, verdict: &str) {
        assert_eq!(self.verdict(check), verdict, "{check}: {self}");
        let code = match self.verdict("answer") {
            _ if !self.all("fail").is_empty() => 1,
            "not checked" => 2,
            _ => 0,
        };
        assert_eq!(self.code, code, "{self}");
    }

    #[track_caller]
    pub(crate) fn expect_with(&self, check: &str, verdict: &str, text: &str) {
        self.expect(check, verdict);
        self.expect_text(check, text);
    }

    #[track_caller]
    pub(crate) fn expect_text(&self, check: &str, text: &str) {
        // Undo the escapes that JSON needs for quotation marks.
        let check = self.check(check).to_string().replace("\\\"", "\"");
        assert!(check.contains(text), "no {text:?} in {self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.output, self.error)
    }
}

/// Runs the program on the first of these addresses, with the others as `--via`.
pub(crate) async fn look_through(hops: &[SocketAddr], options: &str) -> Report {
    let urls: Vec<_> = hops.iter().map(|address| format!("http://{address}/")).collect();
    let arguments = format!("{} {options}", urls.join(" --via "));
    Report::of(&arguments.split(' ').collect::<Vec<_>>()).await
}

/// Runs a test that depends on time, at most three times: on a busy machine, the program or a
/// server can pause.
pub(crate) async fn on_a_busy_machine(test: impl AsyncFn()) {
    for _ in 0..2 {
        if AssertUnwindSafe(test()).catch_unwind().await.is_ok() {
            return;
        }
    }
    test().await;
}
