use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStderr, Command, Stdio};

use reqwest::{Client, RequestBuilder, Response};

use crate::PATIENCE;

/// A process of the example, and a user of it. Dropping it kills the process.
pub(crate) struct Example {
    pub(crate) child: Child,
    pub(crate) errors: Lines<BufReader<ChildStderr>>,
    pub(crate) url: String,
    pub(crate) client: Client,
    pub(crate) user: String,
}

impl Example {
    pub(crate) fn start(environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assistant"));
        for name in ["OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL", "REDIS_URL"] {
            command.env_remove(name);
        }
        command.env("PORT", "0").envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next().expect("an address").unwrap();
        let url = line.strip_prefix("listening on ").unwrap().to_owned();
        let errors = BufReader::new(child.stderr.take().unwrap()).lines();
        let client = Client::builder().timeout(PATIENCE).build().unwrap();
        Self { child, errors, url, client, user: "user=ann".to_owned() }
    }

    async fn send(&self, request: RequestBuilder) -> Response {
        // Each cookie has its own header field, as browsers send cookies over HTTP/2.
        let request = request.header("cookie", "theme=dark").header("cookie", &self.user);
        request.send().await.unwrap()
    }

    pub(crate) async fn ask(&self, turn: &str, question: &str) -> Response {
        let request = self.client.post(format!("{}/answers/{turn}", self.url));
        self.send(request.body(question.to_owned())).await
    }

    /// Opens an answer's stream as an `EventSource` does.
    pub(crate) async fn attach(&self, turn: &str, last: &str) -> Response {
        let request = self.client.get(format!("{}/answers/{turn}", self.url));
        let request = request.header("accept", "text/event-stream");
        self.send(request.header("cache-control", "no-cache").header("last-event-id", last)).await
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
