//! cargo run --example notifications --features axum,hub,json,page,signal
//!
//! Then open http://127.0.0.1:3000. Set `PORT` to use another port.

pub(crate) mod database;

use std::{env, fmt::Display, io, time::Duration};

use axum::{
    Extension, Form, Router,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{Html, IntoResponse, Redirect, Response, Result},
    routing::{get, post},
    serve::ListenerExt,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_sse::{
    Event, MaxAge, SseLayer,
    hub::{GapPolicy, Hub},
    page,
    streams::{Streams, Subjects},
};

use self::database::{Database, Memory, User};

#[tokio::main]
async fn main() -> io::Result<()> {
    serve(Hub::new(), Memory::default()).await
}

pub(crate) async fn serve(hub: Hub, database: impl Database) -> io::Result<()> {
    let shutdown = CancellationToken::new();
    // Ends streams that a failed logout leaves open in other processes.
    let max_age = MaxAge::new(Duration::from_secs(3600)).jitter(0.1);
    let layer = SseLayer::new().for_pages().shutdown(shutdown.clone()).max_age(max_age);
    let app = app(hub, database, layer);
    let port = env::var("PORT").unwrap_or("3000".into());
    // For a proxy on another machine, bind the address that it connects to.
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let server = axum::serve(listener.tap_io(|io| _ = io.set_nodelay(true)), app)
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(10));
    tokio::select! { served = server => served, stopped = stop => stopped }
}

#[derive(Clone)]
struct App<D> {
    hub: Hub,
    streams: Streams,
    database: D,
}

pub(crate) fn app<D: Database>(hub: Hub, database: D, layer: SseLayer) -> Router {
    let app = App { streams: Streams::follow(&hub, "closes"), hub, database };
    Router::new()
        .route("/events", get(events::<D>))
        .route("/notify/{user}", post(notify::<D>))
        .route("/read/{id}", post(read::<D>))
        .route_layer(from_fn_with_state(app.clone(), check::<D>)) // covers the routes above it
        .route("/log_in", post(log_in::<D>))
        .route("/log_out", post(log_out::<D>))
        .route("/", get(Html(include_str!("page.html"))))
        .route("/tower-sse.js", get(async |headers: HeaderMap| page::module(&headers)))
        .layer(layer.streams(&app.streams))
        .with_state(app)
}

/// A real program checks a password here.
async fn log_in<D: Database>(
    State(app): State<App<D>>,
    Form(user): Form<User>,
) -> Result<impl IntoResponse, StatusCode> {
    // From a cryptographic generator, so that nobody can compute another user's session.
    let session = format!("{:032x}", rand::random::<u128>());
    app.database.add_session(&session, user).await.map_err(failed)?;
    let cookie = format!("session={session}; HttpOnly; SameSite=Lax; Path=/");
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")))
}

/// Over HTTP/2, each cookie can come in a field of its own.
fn session_of(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut cookies = cookies.flat_map(|field| field.split("; "));
    cookies.find_map(|cookie| cookie.strip_prefix("session=")).map(str::to_owned)
}

async fn check<D: Database>(
    State(app): State<App<D>>,
    subjects: Subjects,
    mut request: Request,
    next: Next,
) -> Result<Response> {
    let session = session_of(request.headers()).ok_or(StatusCode::UNAUTHORIZED)?;
    let user = app.database.user_of(&session).await.map_err(failed)?;
    let user = user.ok_or(StatusCode::UNAUTHORIZED)?;
    subjects.add(format!("session:{session}"));
    subjects.add(format!("user:{}", user.id));
    request.extensions_mut().insert(user);
    // On a task, because axum drops the handler of a client that disconnects.
    Ok(tokio::spawn(next.run(request)).await.map_err(failed)?)
}

/// Deletes the session, then closes its streams in all tabs. A client can repeat a logout that
/// failed after the session was deleted, because no valid session is needed.
async fn log_out<D: Database>(
    State(app): State<App<D>>,
    headers: HeaderMap,
) -> Result<Redirect, StatusCode> {
    let session = session_of(&headers).unwrap_or_default();
    let log_out = async move {
        app.database.delete_session(&session).await.map_err(failed)?;
        app.streams.close(format!("session:{session}")).await.map_err(failed)?;
        Ok(Redirect::to("/"))
    };
    tokio::spawn(log_out).await.map_err(failed)?
}

async fn events<D: Database>(
    State(app): State<App<D>>,
    Extension(user): Extension<User>,
) -> Result<impl IntoResponse, StatusCode> {
    let position = app.hub.position(); // before the query
    let unread = app.database.unread(&user).await.map_err(failed)?;
    let unread = Event::new().event("unread").json_data(&unread).map_err(failed)?;
    let events = app.hub.subscribe(["all", &format!("user:{}", user.id)]).since(position);
    // Ignores the last event id: the tab may have it from a user who has since logged out.
    Ok(events.greeting(unread).gap_policy(GapPolicy::ReportAndEnd).resume(None).response())
}

/// Commits the notification, then publishes it. Any part of a program can do the same.
async fn notify<D: Database>(
    State(app): State<App<D>>,
    Path(user): Path<String>,
    text: String,
) -> Result<StatusCode, StatusCode> {
    let topic = if user == "all" { user } else { format!("user:{user}") };
    let notification = app.database.add(&topic, text).await.map_err(failed)?;
    let event = Event::new().event("notification").json_data(&notification).map_err(failed)?;
    app.hub.publish(topic, event).await.map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Marks a notification as read, and removes it from the user's other tabs.
async fn read<D: Database>(
    State(app): State<App<D>>,
    Extension(user): Extension<User>,
    Path(id): Path<u64>,
) -> Result<StatusCode, StatusCode> {
    app.database.mark_read(&user, id).await.map_err(failed)?;
    let event = Event::new().event("read").data(id.to_string());
    app.hub.publish(format!("user:{}", user.id), event).await.map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}

fn failed(error: impl Display) -> StatusCode {
    eprintln!("{error}");
    StatusCode::SERVICE_UNAVAILABLE
}
