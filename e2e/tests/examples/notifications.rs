//! Notifications for logged-in users: unread ones, live ones, and a logout.

use crate::*;

#[derive(Clone)]
pub(crate) struct Session {
    address: SocketAddr,
    cookie: String,
}

impl Session {
    pub(crate) async fn log_in(address: SocketAddr, user: &str) -> Self {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let answer = client::post(address, "/log_in", &form, format!("id={user}")).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        assert!(cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
        Self { address, cookie: cookie.split(';').next().unwrap().to_owned() }
    }

    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self { address, cookie: self.cookie.clone() }
    }

    pub(crate) async fn post(&self, path: &str, text: &str) -> StatusCode {
        let cookie = [("cookie", &*self.cookie)];
        client::post(self.address, path, &cookie, text.to_owned()).await.status()
    }

    pub(crate) async fn notify(&self, user: &str, text: &str) {
        let status = self.post(&format!("/notify/{user}"), text).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
    }

    pub(crate) async fn status(&self) -> StatusCode {
        client::get(self.address, "/events", &[("cookie", &self.cookie)]).await.status()
    }

    /// Opens the stream and returns the texts of the unread notifications by id.
    pub(crate) async fn open(&self) -> (BTreeMap<u64, String>, EventReader<Incoming>) {
        // Each cookie has its own header field, as browsers send cookies over HTTP/2.
        let headers = [("cookie", "theme=dark"), ("cookie", &*self.cookie)];
        let mut events = EventReader::new(client::get(self.address, "/events", &headers).await);
        let unread = process::next(&mut events).await;
        assert_eq!(unread.event, "unread");
        let rows: Vec<Value> = serde_json::from_str(&unread.data).unwrap();
        (rows.iter().map(row).collect(), events)
    }
}

fn row(row: &Value) -> (u64, String) {
    (row["id"].as_u64().unwrap(), row["text"].as_str().unwrap().to_owned())
}

pub(crate) async fn next(events: &mut EventReader<Incoming>) -> (u64, String) {
    let event = events.next().await.unwrap();
    assert_eq!(event.event, "notification");
    row(&serde_json::from_str(&event.data).unwrap())
}

#[tokio::test]
async fn log_out_ends_the_streams_of_its_session_only() {
    let example = run("notifications").await;
    let [laptop, phone] = [(); 2].map(|()| Session::log_in(example.address, "ann"));
    let (laptop, phone) = tokio::join!(laptop, phone);
    let (_, first) = laptop.open().await;
    let (_, second) = laptop.open().await;
    let (_, mut other) = phone.open().await;
    assert_eq!(laptop.post("/log_out", "").await, StatusCode::SEE_OTHER);
    assert_eq!((first.rest().await.len(), second.rest().await.len()), (0, 0));
    assert_eq!(laptop.status().await, StatusCode::UNAUTHORIZED);
    assert_eq!(laptop.post("/notify/ann", "no").await, StatusCode::UNAUTHORIZED);
    // A page repeats a logout if closing its streams has failed.
    assert_eq!(laptop.post("/log_out", "").await, StatusCode::SEE_OTHER);
    phone.notify("ann", "still here").await;
    assert_eq!(next(&mut other).await, (1, "still here".to_owned()));
}

#[tokio::test]
async fn client_without_a_session_gets_no_stream() {
    let example = run("notifications").await;
    for cookie in ["", "session=", "session=guessed", "other=1"] {
        let headers = [("cookie", cookie)];
        let status = client::get(example.address, "/events", &headers).await.status();
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{cookie:?}");
    }
}
