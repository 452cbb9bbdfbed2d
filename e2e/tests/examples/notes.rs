use std::net::SocketAddr;

use http::StatusCode;
use tower_sse::{Message, hub::Hub};

use crate::*;

#[path = "../../../examples/notes.rs"]
#[allow(dead_code)]
mod example;

use self::example::{Database, Note};

async fn serve(hub: Hub) -> SocketAddr {
    serve_axum(example::app(hub, Database::default())).await
}

async fn add(address: SocketAddr, row: u64) {
    let answer = client::post(address, "/notes", &[], format!("note {row}")).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
}

/// Returns the rows of a message: those of the backlog, or the one of a note.
fn rows(message: &Message) -> Vec<u64> {
    let notes: Vec<Note> = if message.event == "backlog" {
        serde_json::from_str(&message.data).unwrap()
    } else {
        vec![serde_json::from_str(&message.data).unwrap()]
    };
    assert!(notes.iter().all(|note| note.text == format!("note {}", note.row)));
    notes.iter().map(|note| note.row).collect()
}

/// The rows that a page shows: it ignores those that it has.
async fn read_all(address: SocketAddr, last: u64) -> Vec<u64> {
    let mut reader = EventReader::new(client::get(address, "/notes", &[]).await);
    let mut shown = Vec::new();
    while !shown.contains(&last) {
        let message = reader.next().await.unwrap();
        for row in rows(&message) {
            if !shown.contains(&row) {
                shown.push(row);
            }
        }
    }
    shown
}

#[tokio::test]
async fn clients_that_come_while_notes_are_added_miss_none() {
    const NOTES: u64 = 200;
    let address = serve(Hub::new()).await;
    let adding = async {
        for row in 1..=NOTES {
            add(address, row).await;
        }
    };
    let reading = futures_util::future::join_all((0..20).map(async |client| {
        // Each comes a little later.
        let before = client * 5;
        for _ in 0..before {
            drop(client::get(address, "/notes", &[]).await);
        }
        read_all(address, NOTES).await
    }));
    let ((), read) = tokio::join!(adding, reading);
    let all: Vec<u64> = (1..=NOTES).collect();
    for shown in read {
        assert_eq!(shown, all);
    }
}

#[tokio::test]
async fn client_that_was_away_for_long_gets_a_gap_and_the_backlog() {
    let address = serve(Hub::builder().retain_events(2).build()).await;
    add(address, 1).await;
    let mut reader = EventReader::new(client::get(address, "/notes", &[]).await);
    let backlog = reader.next().await.unwrap();
    assert_eq!(rows(&backlog), [1]);
    drop(reader);
    let resume = async || {
        let header = [("last-event-id", &*backlog.last_event_id)];
        EventReader::new(client::get(address, "/notes", &header).await)
    };
    add(address, 2).await;
    assert_eq!(rows(&resume().await.next().await.unwrap()), [2]);
    for row in 3..6 {
        add(address, row).await;
    }
    let mut reader = resume().await;
    assert_eq!(reader.next().await.unwrap().event, "gap");
    assert_eq!(rows(&reader.next().await.unwrap()), [1, 2, 3, 4, 5]);
}
