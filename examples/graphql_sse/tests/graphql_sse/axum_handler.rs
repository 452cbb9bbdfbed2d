use async_graphql::Request;
use axum::{Json, Router, extract::State, response::IntoResponse, routing::post};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;
use tower_sse::{Drain, Event, StreamOptions};

use crate::{chat::Chat, graphql_layer, is_subscription};

async fn graphql(
    State(schema): State<Chat>,
    Json(mut request): Json<Request>,
) -> impl IntoResponse {
    let drain = if is_subscription(&mut request) { Drain::at_once() } else { Drain::per_client() };
    let results = schema.execute_stream(request);
    let events = results.map(|result| Event::new().event("next").json(result));
    (StreamOptions::new().drain(drain), tower_sse::response(events))
}

pub(crate) fn app(schema: Chat, shutdown: CancellationToken) -> Router {
    let layer = graphql_layer().shutdown(shutdown);
    Router::new().route("/graphql", post(graphql)).layer(layer).with_state(schema)
}
