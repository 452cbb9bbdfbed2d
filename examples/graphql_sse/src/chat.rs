//! A schema with rooms, whose messages a hub carries to the subscribers.

use std::collections::HashMap;

use async_graphql::{Context, Object, Result, Schema, SimpleObject, Subscription, Union};
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tower_sse::{Event, hub::Hub};

pub(crate) type Chat = Schema<Query, Mutation, Live>;

/// The messages of each room, for which a real program has a database.
type Rooms = Mutex<HashMap<String, Vec<Message>>>;

pub(crate) fn schema(hub: Hub) -> Chat {
    Schema::build(Query, Mutation, Live).data(hub).data(Rooms::default()).finish()
}

#[derive(Clone, Serialize, Deserialize, SimpleObject)]
pub(crate) struct Message {
    number: usize,
    text: String,
}

/// Messages may be missing: the client loads them with the query `messages`.
#[derive(SimpleObject)]
pub(crate) struct Reload {
    room: String,
}

#[derive(Union)]
pub(crate) enum Update {
    Message(Message),
    Reload(Reload),
}

pub(crate) struct Query;

#[Object]
impl Query {
    async fn messages(&self, context: &Context<'_>, room: String) -> Result<Vec<Message>> {
        let rooms = context.data::<Rooms>()?.lock().await;
        Ok(rooms.get(&room).cloned().unwrap_or_default())
    }
}

pub(crate) struct Mutation;

#[Object]
impl Mutation {
    async fn say(&self, context: &Context<'_>, room: String, text: String) -> Result<Message> {
        if text.is_empty() {
            return Err("a message needs a text".into());
        }
        // Locked until the end, so that subscribers receive messages in the order of numbers.
        let mut rooms = context.data::<Rooms>()?.lock().await;
        let messages = rooms.entry(room.clone()).or_default();
        let message = Message { number: messages.len() + 1, text };
        let event = Event::new().json_data(&message)?;
        context.data::<Hub>()?.publish(room, event).await?;
        messages.push(message.clone());
        Ok(message)
    }
}

pub(crate) struct Live;

#[Subscription]
impl Live {
    async fn updates(
        &self,
        context: &Context<'_>,
        room: String,
    ) -> Result<impl Stream<Item = Result<Update>>> {
        let messages = context.data::<Hub>()?.subscribe_to(&room).resume(None).messages();
        // The first item is for clients that reconnect, because the protocol can't resume.
        let first = Update::Reload(Reload { room });
        Ok(stream::iter([Ok(first)]).chain(messages.map(|item| {
            Ok(match item {
                Ok(message) => Update::Message(serde_json::from_str(&message.data)?),
                Err(gap) => Update::Reload(Reload { room: gap.topic().to_owned() }),
            })
        })))
    }
}
