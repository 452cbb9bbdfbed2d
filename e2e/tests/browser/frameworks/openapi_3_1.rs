use axum::{Json, Router, extract::State, response::IntoResponse, routing::get};
use tower_sse::{LastEventId, SseLayer, hub::Hub};
use utoipa::{OpenApi, ToSchema, openapi::OpenApiVersion};

#[derive(OpenApi)]
#[openapi(paths(events))]
struct Api;

#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct News {
    id: String,
    data: String,
}

#[utoipa::path(get, path = "/events", params(("Last-Event-ID" = Option<String>, Header)),
    responses((status = 200, description = "News", content_type = "text/event-stream",
        body = String)))]
async fn events(State(hub): State<Hub>, last: Option<LastEventId>) -> impl IntoResponse {
    hub.subscribe_to("news").resume(last).response()
}

pub(crate) fn app(hub: Hub) -> Router {
    let mut api = Api::openapi();
    let routes = Router::new().route("/events", get(events)).layer(SseLayer::new());
    routes.route("/openapi.json", get(Json(api))).with_state(hub)
}
