use std::{fmt, time::UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tower_sse::{
    Event,
    hub::{Hub, PublishError, Receipt},
};

use super::name::Name;

/// A message as a page posts it.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    from: Name,
    to: To,
    text: Text,
}

/// The receivers: all rooms, one room, or one user. The hub treats them alike.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum To {
    All,
    Room(Name),
    User(Name),
}

impl To {
    pub(super) fn topic(&self) -> String {
        match self {
            Self::All => "all".to_owned(),
            Self::Room(name) => format!("room:{name}"),
            Self::User(name) => format!("user:{name}"),
        }
    }
}

impl Message {
    /// Publishes the message to its receivers, and returns the receipt.
    pub(super) async fn publish(self, hub: &Hub) -> Result<Receipt, PublishError> {
        let Self { from, to, text } = self;
        let at = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis());
        let data = json!({ "from": from, "to": to, "text": text, "at": at as u64 }).to_string();
        let receipt = hub.publish(&to.topic(), Event::from(data.clone())).await?;
        let own = To::User(from);
        if matches!(to, To::User(_)) && to != own {
            // The author gets a copy of a private message, on all pages of that name.
            _ = hub.publish(&own.topic(), Event::from(data)).await?;
        }
        Ok(receipt)
    }
}

/// A text that is neither blank nor too long.
#[derive(Debug, Deserialize, Serialize)]
#[serde(try_from = "String")]
struct Text(String);

/// The maximum length in characters.
const LONGEST: usize = 1000;

impl TryFrom<String> for Text {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, InvalidText> {
        let is_text = text.chars().count() <= LONGEST && !text.trim().is_empty();
        is_text.then_some(Self(text)).ok_or(InvalidText)
    }
}

#[derive(Debug)]
struct InvalidText;

impl fmt::Display for InvalidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a text has 1 to {LONGEST} characters, not all of them blank")
    }
}
