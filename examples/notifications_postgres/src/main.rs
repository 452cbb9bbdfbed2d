//! Notifications for logged-in users, in PostgreSQL. A notification and its event are one
//! transaction, and so are a logout and the close of the session's streams. Whatever is killed in
//! between, neither happens without the other.
//!
//! ```text
//! DATABASE_URL=postgres://postgres@127.0.0.1/postgres \
//!     cargo run --manifest-path examples/notifications_postgres/Cargo.toml
//! ```
//!
//! Then open http://127.0.0.1:3000. Start a second process with another `PORT`: the two serve all
//! users.

use std::{env, fmt::Display, sync::Arc, time::Duration};

use axum::{
    Extension, Form, Router,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{Html, IntoResponse, Redirect, Response, Result},
    routing::{get, post},
    serve::ListenerExt,
};
use serde::Deserialize;
use sqlx::{PgPool, query, query_scalar, raw_sql};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_sse::{
    BoxError, Event, SseLayer,
    hub::{GapPolicy, Hub},
    page,
    streams::{Streams, Subjects},
};
use tower_sse_postgres::{Postgres, SCHEMA};

// Each of these statements is one transaction.
const NOTIFY: &str = "
    with added as (insert into notification (topic, text) values ($1, $2) returning *)
    select tower_sse.publish(topic, json_build_object('id', id, 'text', text)::text,
        event => 'notification', stream => 'notifications')
    from added";
const READ: &str = "
    with added as (insert into seen values ($1, $2) on conflict do nothing returning *)
    select tower_sse.publish('user:' || user_id, notification_id::text,
        event => 'read', stream => 'notifications')
    from added";
const LOG_OUT: &str = r"
    with ended as (delete from session where id = $1 returning id)
    select tower_sse.publish('closes', E'\nsession:' || id,
        event => 'close', stream => 'notifications')
    from ended";
const UNREAD: &str = "
    select coalesce(json_agg(json_build_object('id', id, 'text', text) order by id), '[]')::text
    from notification
    where topic in ('all', 'user:' || $1)
        and id not in (select notification_id from seen where user_id = $1)";

#[derive(Clone)]
struct App {
    pool: PgPool,
    hub: Hub,
    wake: Arc<dyn Fn() + Send + Sync>,
}

#[derive(Clone, Deserialize)]
struct User {
    id: String,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url =
        env::var("DATABASE_URL").map_err(|_| "set DATABASE_URL to a database of PostgreSQL")?;
    let pool = PgPool::connect(&url).await?;
    migrate(&pool).await?;
    let broker = Postgres::open(&url)?.broker("notifications");
    let wake = Arc::new(broker.waker());
    let hub = Hub::connect(broker).await?;
    let streams = Streams::follow(&hub, "closes");
    let app = App { pool, hub, wake };
    let shutdown = CancellationToken::new();
    let layer = SseLayer::new().for_pages().streams(&streams).shutdown(shutdown.clone());
    let routes = Router::new()
        .route("/events", get(events))
        .route("/notify/{user}", post(notify))
        .route("/read/{id}", post(read))
        .route_layer(from_fn_with_state(app.clone(), check)) // covers the routes above it
        .route("/log_in", post(log_in))
        .route("/log_out", post(log_out))
        .route("/", get(Html(include_str!("page.html"))))
        .route("/tower-sse.js", get(async |headers: HeaderMap| page::module(&headers)))
        .layer(layer)
        .with_state(app);
    let port = env::var("PORT").unwrap_or("3000".into());
    // For a proxy on another machine, bind the address that it connects to.
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let server = axum::serve(listener.tap_io(|io| _ = io.set_nodelay(true)), routes)
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(10));
    tokio::select! { served = server => served?, stopped = stop => stopped? }
    Ok(())
}

/// Creates the tables. A program has its own migrations.
async fn migrate(pool: &PgPool) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    query("select pg_advisory_xact_lock(1)").execute(&mut *transaction).await?;
    let exists = "select to_regclass('tower_sse.log') is not null";
    if !query_scalar::<_, bool>(exists).fetch_one(&mut *transaction).await? {
        raw_sql(SCHEMA).execute(&mut *transaction).await?;
        raw_sql(include_str!("tables.sql")).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

/// A real program checks a password here.
async fn log_in(State(app): State<App>, Form(user): Form<User>) -> Result<Response, StatusCode> {
    // From a cryptographic generator, so that nobody can compute another user's session.
    let session = format!("{:032x}", rand::random::<u128>());
    let insert = query("insert into session values ($1, $2)").bind(&session).bind(user.id);
    insert.execute(&app.pool).await.map_err(failed)?;
    let cookie = format!("session={session}; HttpOnly; SameSite=Lax; Path=/");
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response())
}

/// Over HTTP/2, each cookie can come in a field of its own.
fn session_of(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut cookies = cookies.flat_map(|field| field.split("; "));
    cookies.find_map(|cookie| cookie.strip_prefix("session="))
}

async fn check(
    State(app): State<App>,
    subjects: Subjects,
    mut request: Request,
    next: Next,
) -> Result<Response> {
    let session = session_of(request.headers()).ok_or(StatusCode::UNAUTHORIZED)?;
    let user = query_scalar("select user_id from session where id = $1").bind(session);
    let user = user.fetch_optional(&app.pool).await.map_err(failed)?;
    let user = User { id: user.ok_or(StatusCode::UNAUTHORIZED)? };
    subjects.add(format!("session:{session}"));
    request.extensions_mut().insert(user);
    Ok(next.run(request).await)
}

/// Deletes the session, and closes its streams in all tabs and processes.
async fn log_out(State(app): State<App>, headers: HeaderMap) -> Result<Redirect, StatusCode> {
    let session = session_of(&headers).unwrap_or_default();
    query(LOG_OUT).bind(session).execute(&app.pool).await.map_err(failed)?;
    (app.wake)();
    Ok(Redirect::to("/"))
}

async fn events(
    State(app): State<App>,
    Extension(user): Extension<User>,
) -> Result<impl IntoResponse, StatusCode> {
    let position = app.hub.position(); // before the query
    let unread = query_scalar::<_, String>(UNREAD).bind(&user.id);
    let unread = unread.fetch_one(&app.pool).await.map_err(failed)?;
    let unread = Event::new().event("unread").data(unread);
    let events = app.hub.subscribe(["all", &format!("user:{}", user.id)]).since(position);
    // Without the last event id: the tab may have got it for a user who has logged out since.
    Ok(events.greeting(unread).gap_policy(GapPolicy::ReportAndEnd).resume(None).response())
}

async fn notify(
    State(app): State<App>,
    Path(user): Path<String>,
    text: String,
) -> Result<StatusCode, StatusCode> {
    let topic = if user == "all" { user } else { format!("user:{user}") };
    query(NOTIFY).bind(topic).bind(text).execute(&app.pool).await.map_err(failed)?;
    // Without this call, hubs find the event by polling, in up to 2.5 seconds.
    (app.wake)();
    Ok(StatusCode::NO_CONTENT)
}

/// Marks a notification as read, and removes it from the user's other tabs.
async fn read(
    State(app): State<App>,
    Extension(user): Extension<User>,
    Path(id): Path<i64>,
) -> Result<StatusCode, StatusCode> {
    query(READ).bind(user.id).bind(id).execute(&app.pool).await.map_err(failed)?;
    (app.wake)();
    Ok(StatusCode::NO_CONTENT)
}

fn failed(error: impl Display) -> StatusCode {
    eprintln!("{error}");
    StatusCode::SERVICE_UNAVAILABLE
}
