//! The example against a PostgreSQL server that the test starts, and with a `kill -9` in the middle
//! of a logout.

#![cfg(unix)]
#![allow(dead_code)]

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::{net::TcpStream, process::Command, time::timeout};

#[path = "../../../crates/tower-sse-postgres/tests/postgres/server.rs"]
mod server;
#[path = "../../../tests/support/programs.rs"]
mod support;

use self::server::{Server, sql};
use self::support::{PATIENCE, Process, until_async};

/// A process of the example.
struct Example(Process);

/// An answer whose head has come.
struct Answer {
    status: String,
    cookie: String,
    body: BufReader<TcpStream>,
}

impl Answer {
    /// Returns the next line, or `None` at the end.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.body.read_line(&mut line)).await.unwrap();
        (read.unwrap() > 0).then(|| line.trim_end().to_owned())
    }

    /// Returns the name and the data of the next event, or `None` if the stream ends.
    async fn event(&mut self) -> Option<(String, String)> {
        let mut name = String::new();
        loop {
            let line = self.line().await?;
            // The last chunk.
            if line == "0" {
                return None;
            } else if let Some(text) = line.strip_prefix("event: ") {
                text.clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ")
                && name != "heartbeat"
            {
                return Some((name, data.to_owned()));
            }
        }
    }
}

impl Example {
    async fn start(server: &Server) -> Self {
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", server.port);
        let mut command = Command::new(env!("CARGO_BIN_EXE_notifications_postgres"));
        Self(Process::serve(command.env("DATABASE_URL", url).env("PORT", "0")).await)
    }

    async fn send(&self, request: &str, cookie: &str, body: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(self.0.address).await.unwrap();
        let length = body.len();
        let form = "content-type: application/x-www-form-urlencoded";
        let request = format!(
            "{request} HTTP/1.1\r\nhost: localhost\r\ncookie: theme=dark\r\ncookie: {cookie}\r\n\
             {form}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        BufReader::new(stream)
    }

    async fn ask(&self, request: &str, cookie: &str, body: &str) -> Answer {
        let body = self.send(request, cookie, body).await;
        let mut answer = Answer { status: String::new(), cookie: String::new(), body };
        let status = answer.line().await.unwrap();
        answer.status = status[9..12].to_owned();
        loop {
            let line = answer.line().await.unwrap();
            if line.is_empty() {
                return answer;
            } else if let Some(cookie) = line.strip_prefix("set-cookie: ") {
                cookie.split(';').next().unwrap().clone_into(&mut answer.cookie);
            }
        }
    }

    async fn log_in(&self, user: &str) -> String {
        self.ask("POST /log_in", "", &format!("id={user}")).await.cookie
    }

    async fn post(&self, path: &str, cookie: &str, text: &str) -> String {
        self.ask(&format!("POST {path}"), cookie, text).await.status
    }

    /// Opens a stream, and returns it with the notifications that are unread.
    async fn open(&self, cookie: &str) -> (String, Answer) {
        let mut answer = self.ask("GET /events", cookie, "").await;
        assert_eq!(answer.status, "200");
        let (name, unread) = answer.event().await.unwrap();
        assert_eq!(name, "unread");
        (unread, answer)
    }
}

fn event(name: &str, data: &str) -> Option<(String, String)> {
    Some((name.to_owned(), data.to_owned()))
}

const ONE: &str = r#"{"id" : 1, "text" : "one"}"#;

#[tokio::test]
async fn notification_reaches_the_pages_of_all_processes() {
    let Some(server) = Server::start_empty(&[]).await else { return };
    let (first, second) = (Example::start(&server).await, Example::start(&server).await);
    let ann = first.log_in("ann").await;
    let (unread, mut at_first) = first.open(&ann).await;
    let (_, mut at_second) = second.open(&ann).await;
    assert_eq!(unread, "[]");
    assert_eq!(second.post("/notify/ann", &ann, "one").await, "204");
    assert_eq!(second.post("/notify/bob", &ann, "for bob").await, "204");
    for page in [&mut at_first, &mut at_second] {
        assert_eq!(page.event().await, event("notification", ONE));
    }
    assert_eq!(first.open(&ann).await.0, format!("[{ONE}]"));
    assert_eq!(first.post("/read/1", &ann, "").await, "204");
    for page in [&mut at_first, &mut at_second] {
        assert_eq!(page.event().await, event("read", "1"));
    }
    assert_eq!(first.open(&ann).await.0, "[]");
}

#[tokio::test]
async fn log_out_ends_the_streams_of_its_session_in_all_processes() {
    let Some(server) = Server::start_empty(&[]).await else { return };
    let (first, second) = (Example::start(&server).await, Example::start(&server).await);
    let (laptop, phone) = (first.log_in("ann").await, second.log_in("ann").await);
    let mut ended = [first.open(&laptop).await.1, second.open(&laptop).await.1];
    let mut stays = first.open(&phone).await.1;
    assert_eq!(second.post("/log_out", &laptop, "").await, "303");
    for page in &mut ended {
        assert_eq!(page.event().await, None);
    }
    assert_eq!(first.ask("GET /events", &laptop, "").await.status, "401");
    assert_eq!(first.post("/notify/all", &phone, "one").await, "204");
    assert_eq!(stays.event().await, event("notification", ONE));
}

#[tokio::test]
async fn failed_query_is_a_failure_of_the_server() {
    let Some(server) = Server::start_empty(&[]).await else { return };
    let (example, client) = (Example::start(&server).await, server.connect().await);
    let ann = example.log_in("ann").await;
    for table in ["seen", "session"] {
        sql(&client, &format!("drop table {table}")).await;
        let answer = example.ask("GET /events", &ann, "").await;
        assert_eq!(answer.status, "503", "without {table}");
    }
}

#[tokio::test]
async fn log_out_that_is_killed_deletes_and_closes_or_does_neither() {
    let Some(server) = Server::start_empty(&[]).await else { return };
    let (killed, other) = (Example::start(&server).await, Example::start(&server).await);
    let ann = other.log_in("ann").await;
    let (_, mut page) = other.open(&ann).await;
    let (client, watching) = (server.connect().await, server.connect().await);
    // The logout waits for this lock after it has deleted the session.
    sql(&client, "begin; lock table tower_sse.inbox in access exclusive mode").await;
    let _answer = killed.send("POST /log_out", &ann, "").await;
    let waiting = "select count(*)::text from pg_stat_activity where wait_event_type = 'Lock'
        and query like '%delete from session%' and pid <> pg_backend_pid()";
    until_async(async || sql(&watching, waiting).await == ["1"]).await;
    drop(killed);
    sql(&client, "commit").await;
    let locks = "select count(*)::text from pg_locks where mode = 'RowExclusiveLock'
        and relation = 'session'::regclass";
    until_async(async || sql(&watching, locks).await == ["0"]).await;
    if sql(&client, "select 'open' from session").await == ["open"] {
        assert_eq!(other.post("/notify/ann", &ann, "one").await, "204");
        assert_eq!(page.event().await, event("notification", ONE));
    } else {
        assert_eq!(page.event().await, None);
    }
}
