//! cargo run --example tickets --features axum,hub,signal
//!
//! Then open http://127.0.0.1:3000. The page sends a bearer token with `fetch`. An `EventSource`
//! cannot send one, so its URL has a ticket, which opens one stream of one user.
//!
//! If you write your own code for tickets:
//!
//! - Check and delete a ticket in one step, or two requests could use it. In Redis, issue it with
//!   `SET … EX 30`, and redeem it with `GETDEL`.
//! - Don't renew a ticket. It would become a password in a URL.
//! - Keep a ticket's lifetime short. If a request fails before it reaches your server, a proxy's
//!   log can contain a ticket that still works.
//!
//! Set `PORT` to use another port.

pub(crate) mod tickets;

use std::{collections::HashMap, env, io, time::Duration};

use axum::{
    Extension, Router,
    extract::{Query, Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_sse::{LastEventId, SseLayer, hub::Hub};

use self::tickets::{Tickets, User};

#[tokio::main]
async fn main() -> io::Result<()> {
    let port = env::var("PORT").unwrap_or("3000".into());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let shutdown = CancellationToken::new();
    let layer = SseLayer::new().last_event_id_query("last").shutdown(shutdown.clone());
    let app = routes(Hub::new()).layer(layer);
    let server = axum::serve(listener.tap_io(|io| _ = io.set_nodelay(true)), app)
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(10));
    tokio::select! { served = server => served, stopped = stop => stopped }
}

pub(crate) fn routes(hub: Hub) -> Router {
    let tickets = Tickets::default();
    let streams = Router::new()
        .route("/events", get(events))
        .route_layer(from_fn_with_state(tickets.clone(), redeem));
    let api = Router::new()
        .route("/tickets", post(issue))
        .with_state(tickets)
        .route("/messages", post(publish))
        .route_layer(from_fn(authenticate));
    let script = ([(header::CONTENT_TYPE, "text/javascript")], include_str!("listen.js"));
    streams
        .merge(api)
        .route("/", get(Html(include_str!("page.html"))))
        .route("/listen.js", get(script))
        .with_state(hub)
}

/// A stand-in, whose tokens are the names of users. A real program verifies the token.
async fn authenticate(mut request: Request, next: Next) -> Result<Response, StatusCode> {
    let value = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if token.is_empty() {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let user = User { id: token.to_owned() };
    request.extensions_mut().insert(user);
    Ok(next.run(request).await)
}

async fn issue(State(tickets): State<Tickets>, Extension(user): Extension<User>) -> String {
    tickets.issue(user)
}

async fn redeem(
    State(tickets): State<Tickets>,
    Query(query): Query<HashMap<String, String>>,
    mut request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    let user = query.get("ticket").and_then(|ticket| tickets.redeem(ticket));
    request.extensions_mut().insert(user.ok_or(StatusCode::UNAUTHORIZED)?);
    Ok(next.run(request).await)
}

async fn events(
    State(hub): State<Hub>,
    Extension(user): Extension<User>,
    last: Option<LastEventId>,
) -> impl IntoResponse {
    hub.subscribe_to(format!("user:{}", user.id)).resume(last).response()
}

async fn publish(
    State(hub): State<Hub>,
    Extension(user): Extension<User>,
    text: String,
) -> StatusCode {
    match hub.publish(format!("user:{}", user.id), text).await {
        Ok(_) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
