//! Passwords that change at run time.

use std::{
    fs,
    sync::{Mutex, atomic::Ordering::SeqCst},
};

use tower_sse::BoxError;
use tower_sse_postgres::ErrorKind;

use crate::{server::patient, *};

/// Starts a server on which the role `app` needs a password.
async fn server_with_passwords() -> Option<Server> {
    let server = Server::start().await?;
    let access = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    fs::write(server.data().join("pg_hba.conf"), access).unwrap();
    let client = server.connect().await;
    sql(&client, "create role app login superuser password 'first'").await;
    sql(&client, "select pg_reload_conf()").await;
    let refused = async || server::connect(&server.address_of("app")).await.is_err();
    until_async(refused).await;
    Some(server)
}

#[tokio::test]
async fn new_password_is_asked_for_when_one_is_refused() {
    let Some(server) = server_with_passwords().await else { return };
    let address = server.address_of("app");
    let kind = async |broker: Postgres| Hub::connect(broker).await.unwrap_err().kind();
    assert_eq!(
        kind(Postgres::open(&format!("{address} password=other")).unwrap()).await,
        ErrorKind::NotPermitted
    );
    let password = Arc::new(Mutex::new("first".to_owned()));
    let asked = Arc::new(AtomicUsize::new(0));
    let broker = patient(Postgres::open(&address).unwrap()).password({
        let (password, asked) = (Arc::clone(&password), Arc::clone(&asked));
        move || {
            asked.fetch_add(1, SeqCst);
            let password = password.lock().unwrap().clone();
            async move { Ok::<_, BoxError>(password) }
        }
    });
    let mut process = Process::connect(broker).await;
    assert_eq!(asked.load(SeqCst), 1);
    let client = server.connect().await;
    sql(&client, "alter role app password 'second'").await;
    // The open connections go on.
    process.publish([1]).await;
    process.reads([1]).await;
    sql(&client, "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")
        .await;
    // It asks twice for each attempt.
    until(|| asked.load(SeqCst) >= 3).await;
    *password.lock().unwrap() = "second".to_owned();
    until(|| process.health.reconnections() == 1 && process.health.is_ready()).await;
    process.publish([2]).await;
    process.reads([2]).await;
}

#[tokio::test]
async fn closure_that_fails_or_panics_is_an_error() {
    let Some(server) = server_with_passwords().await else { return };
    let broker = || Postgres::open(&server.address_of("app")).unwrap();
    let failing = broker().password(|| async { Err::<String, _>("no token") });
    let error = Hub::connect(failing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotPermitted);
    assert_eq!(error.source().unwrap().to_string(), "no token");
    let panicking =
        broker().password(|| async { panic!("in the program") as Result<String, BoxError> });
    let error = Hub::connect(panicking).await.unwrap_err();
    assert!(error.source().unwrap().to_string().contains("panicked"), "{error:?}");
}
