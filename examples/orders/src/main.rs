//! Orders in PostgreSQL, whose changes appear in every open page. The `UPDATE` and its event are one
//! transaction, so neither happens without the other, whatever is killed in between.
//!
//! ```text
//! DATABASE_URL=postgres://postgres@127.0.0.1/postgres cargo run --manifest-path examples/orders/Cargo.toml
//! ```
//!
//! Then open http://127.0.0.1:3000/ twice. Start a second process with another `PORT`: pages of both
//! show the changes of both.

use std::{env, error::Error, sync::Arc};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::{Html, IntoResponse},
    routing::{get, post},
};
use sqlx::{PgPool, Row};
use tokio::net::TcpListener;
use tower_sse::{LastEventId, SseLayer, hub::Hub};
use tower_sse_postgres::{Postgres, SCHEMA};

const ORDERS: &str = "
    create table orders (id bigint primary key, status text not null);
    insert into orders select n, 'new' from generate_series(1, 5) n;
    insert into tower_sse.stream (name) values ('orders')";

#[derive(Clone)]
struct App {
    pool: PgPool,
    hub: Hub,
    wake: Arc<dyn Fn() + Send + Sync>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Ok(url) = env::var("DATABASE_URL") else {
        return Err("set DATABASE_URL to a database of PostgreSQL 14 or later, such as \
                    postgres://postgres@127.0.0.1/postgres; the example creates its tables there"
            .into());
    };
    let pool = PgPool::connect(&url).await?;
    migrate(&pool).await?;
    let postgres = Postgres::open(&url)?.stream("orders");
    let wake = Arc::new(postgres.waker());
    let hub = Hub::connect(postgres).await?;
    let app = Router::new()
        .route("/", get(page))
        .route("/events", get(events))
        .route("/orders/{id}/{status}", post(change))
        .layer(SseLayer::new().last_event_id_query("last-event-id"))
        .with_state(App { pool, hub, wake });
    let port = env::var("PORT").map_or(Ok(3000), |port| port.parse::<u16>())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}/", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

/// Creates the tables. A program has its own migrations.
async fn migrate(pool: &PgPool) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    sqlx::query("select pg_advisory_xact_lock(1)").execute(&mut *transaction).await?;
    let exists = sqlx::query(
        "select to_regclass('tower_sse.log') is not null, to_regclass('orders') is not null",
    );
    let exists = exists.fetch_one(&mut *transaction).await?;
    if !exists.get::<bool, _>(0) {
        sqlx::raw_sql(SCHEMA).execute(&mut *transaction).await?;
    }
    if !exists.get::<bool, _>(1) {
        sqlx::raw_sql(ORDERS).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

/// Changes the status of an order, and publishes the change in the same transaction.
async fn change(
    State(app): State<App>,
    Path((id, status)): Path<(i64, String)>,
) -> Result<StatusCode, StatusCode> {
    let changed = async {
        let mut transaction = app.pool.begin().await?;
        let update = sqlx::query("update orders set status = $2 where id = $1");
        let updated = update.bind(id).bind(&status).execute(&mut *transaction).await?;
        if updated.rows_affected() == 0 {
            return Ok(StatusCode::NOT_FOUND);
        }
        let order = serde_json::json!({ "id": id, "status": status });
        sqlx::query("select tower_sse.publish('orders', $1, stream => 'orders')")
            .bind(order.to_string())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        // Without it, the hub finds the event within a tenth of a second.
        (app.wake)();
        Ok::<_, sqlx::Error>(StatusCode::NO_CONTENT)
    };
    changed.await.map_err(|error| {
        eprintln!("{error}");
        StatusCode::INTERNAL_SERVER_ERROR
    })
}

async fn events(State(app): State<App>, last: Option<LastEventId>) -> impl IntoResponse {
    app.hub.subscribe_to("orders").resume(last).response()
}

/// The page has the state of all orders, and the id after which the events continue it.
async fn page(State(app): State<App>) -> Result<Html<String>, StatusCode> {
    let position = app.hub.position();
    let rows = sqlx::query("select id, status from orders order by id").fetch_all(&app.pool).await;
    let rows = rows.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let rows: String = rows
        .iter()
        .map(|row| {
            let (id, status) = (row.get::<i64, _>(0), row.get::<String, _>(1));
            format!(
                "<tr id=order-{id}><td>{id}<td>{}<td><button>pay</button> <button>ship</button>",
                escape(&status)
            )
        })
        .collect();
    Ok(Html(
        include_str!("page.html").replace("ROWS", &rows).replace("POSITION", &position.to_string()),
    ))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
