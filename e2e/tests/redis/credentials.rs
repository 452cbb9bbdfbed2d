//! Users and passwords that change while processes are connected.

use crate::*;

/// The passwords that a provider returns one after the other, the last one again and again.
#[derive(Clone)]
struct Passwords(Arc<Mutex<(Vec<&'static str>, usize)>>);

impl Passwords {
    fn new(passwords: &[&'static str]) -> Self {
        Self(Arc::new(Mutex::new((passwords.to_vec(), 0))))
    }

    fn set(&self, password: &'static str) {
        self.0.lock().unwrap().0 = vec![password];
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().1
    }

    fn redis(&self, server: &Server) -> Redis {
        let passwords = self.clone();
        server.redis().credentials(move || {
            let (passwords, asked) = &mut *passwords.0.lock().unwrap();
            *asked += 1;
            let next = if passwords.len() > 1 { passwords.remove(0) } else { passwords[0] };
            async move {
                yield_now().await;
                Ok::<_, io::Error>(Credentials::new("app", next))
            }
        })
    }
}

async fn set_password(server: &Server, password: &str) {
    let command = format!("ACL SETUSER app on resetpass >{password} ~* &* +@all");
    assert_eq!(server.command::<String>(&command).await, "OK");
}

/// The numbers of connections of a hub and of runs.
const OF_A_HUB: usize = 2;
const OF_RUNS: usize = 2;

/// Breaks all connections of the user, of which there must be `count`.
async fn kill_connections(server: &Server, count: usize) {
    assert_eq!(server.command::<usize>("CLIENT KILL USER app").await, count);
}

#[tokio::test]
async fn credentials_are_asked_for_at_each_connection() {
    let Some(server) = Server::start().await else { return };
    set_password(&server, "one").await;
    let passwords = Passwords::new(&["one"]);
    let mut process = Process::connect(patient(passwords.redis(&server))).await;
    assert_eq!(passwords.asked(), 1, "once for both connections");
    _ = process.publish_and_read([0]).await;

    set_password(&server, "two").await;
    passwords.set("two");
    kill_connections(&server, OF_A_HUB).await;
    until(|| passwords.asked() == 2).await;
    _ = process.publish([1]).await;
    process.reads([0, 1]).await;
    assert_eq!((passwords.asked(), process.stats.losses()), (2, 0));
}

#[tokio::test]
async fn runs_ask_for_credentials_too() {
    let Some(server) = Server::start().await else { return };
    set_password(&server, "one").await;
    let passwords = Passwords::new(&["one"]);
    let store = passwords.redis(&server).runs("app");
    let health = store.health();
    let runs = Runs::connect(store).await.unwrap();
    start_run(&runs, "first").await;
    set_password(&server, "two").await;
    passwords.set("two");
    kill_connections(&server, OF_RUNS).await;
    until(|| passwords.asked() == 2 && health.is_ready()).await;
    start_run(&runs, "second").await;
}

pub(crate) async fn start_run(runs: &Runs, turn: &str) {
    let (parts, ()) = Request::new(()).into_parts();
    let key = RunKey::new("ann", turn).unwrap();
    let deadline = Instant::now() + PATIENCE;
    // After a failover, no run starts until a lease has passed, because the new primary may not know
    // all running runs.
    while let Err(error) = runs.start(&key, &parts, || stream::iter([Event::from("token")])).await {
        assert!(matches!(error, StartError::Unavailable), "{error:?}");
        assert!(Instant::now() < deadline, "no run starts in time");
        sleep(Duration::from_millis(50)).await;
    }
}

/// If Redis refuses the credentials of both attempts, `connect` fails. A process that reconnects
/// would try again.
#[tokio::test]
async fn refused_credentials_are_asked_for_once_more() {
    let Some(server) = Server::start().await else { return };
    set_password(&server, "new").await;
    let passwords = Passwords::new(&["stale", "new"]);
    _ = Hub::connect(passwords.redis(&server).broker(KEY)).await.unwrap();
    assert_eq!(passwords.asked(), 2);
    let passwords = Passwords::new(&["stale", "new"]);
    _ = Runs::connect(passwords.redis(&server).runs("app")).await.unwrap();
    assert_eq!(passwords.asked(), 2);

    let passwords = Passwords::new(&["stale"]);
    let error = Hub::connect(passwords.redis(&server).broker(KEY)).await.unwrap_err();
    assert_eq!((error.kind(), passwords.asked()), (ErrorKind::NotPermitted, 2));
    assert!(!format!("{error:?}").contains("stale"), "{error:?}");
}

#[tokio::test]
async fn provider_that_fails_is_an_error_of_the_connection() {
    let Some(server) = Server::start().await else { return };
    let failing = server.redis().credentials(|| async { Err("no identity") });
    let error = Hub::connect(failing.broker(KEY)).await.unwrap_err();
    assert_eq!(error.to_string(), "failed to get the credentials for Redis: no identity");
    async fn panicking() -> io::Result<Credentials> {
        panic!("a failure of the program")
    }
    let broken = server.redis().credentials(panicking);
    let error = Hub::connect(broken.broker(KEY)).await.unwrap_err();
    assert!(format!("{error:?}").contains("panicked"), "{error:?}");
    let redis = server.redis().timeout(Duration::from_secs(3));
    let hanging = redis.credentials(|| async {
        std::future::pending::<()>().await;
        Ok::<_, io::Error>(Credentials::new("app", ""))
    });
    let error = Hub::connect(hanging.broker(KEY)).await.unwrap_err();
    assert!(format!("{error:?}").contains("took too long"), "{error:?}");
}
