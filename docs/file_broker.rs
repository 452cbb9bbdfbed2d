use std::{
    fs::File,
    io::{self, BufRead, BufReader, Seek, Write},
    path::PathBuf,
    time::{Duration, UNIX_EPOCH},
};

use tower_sse::hub::broker::{Acknowledged, Arrival, Broker, Feed, Publication, Publisher};
use tower_sse::{Event, hub::PublishError};

/// A log in a file, which nobody may trim, replace or delete: a loss would go unnoticed.
pub struct FileBroker(pub PathBuf);

/// The time of an event, its topic, whether it ends the topic, its data, name, retry and comment.
type Line = (Duration, String, bool, String, Option<String>, Option<u64>, Option<String>);

impl Broker for FileBroker {
    type Publisher = Self;
    type Error = io::Error;

    fn name(&self) -> String {
        format!("file:{}", self.0.display())
    }

    async fn start(self, mut feed: Feed) -> io::Result<Self> {
        File::options().create(true).append(true).open(&self.0)?;
        let mut lines = BufReader::new(File::open(&self.0)?);
        feed_lines(&mut feed, &mut lines)?;
        feed.spawn(async move |mut feed| {
            while feed_lines(&mut feed, &mut lines).is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        Ok(self)
    }
}

/// Feeds the lines up to the end. The number of an event is the place where its line ends.
fn feed_lines(feed: &mut Feed, lines: &mut BufReader<File>) -> io::Result<()> {
    let mut text = String::new();
    while lines.read_line(&mut text)? > 0 {
        if !text.ends_with('\n') {
            // The rest is not written yet.
            return lines.seek_relative(-(text.len() as i64));
        }
        let (at, topic, ends, data, name, retry, comment): Line = serde_json::from_str(&text)?;
        let mut event = Event::new().data(data);
        if let Some(name) = name {
            event = event.try_event(name).map_err(io::Error::other)?;
        }
        if let Some(retry) = retry {
            event = event.retry(Duration::from_millis(retry));
        }
        if let Some(comment) = comment {
            event = event.comment(comment);
        }
        let age = UNIX_EPOCH.elapsed().unwrap_or_default().saturating_sub(at);
        let arrival = Arrival::new(lines.stream_position()?, at, age).ends_topic(ends);
        feed.event(arrival, &topic, &event).map_err(io::Error::other)?;
        text.clear();
    }
    Ok(())
}

impl Publisher for FileBroker {
    async fn publish(&self, published: Publication) -> Result<Acknowledged, PublishError> {
        let (at, event) = (UNIX_EPOCH.elapsed().unwrap_or_default(), published.event.fields());
        let (topic, ends) = (&published.topic, published.ends_topic);
        let line = (at, topic, ends, event.data, event.name, event.retry, event.comment);
        let append = || {
            let mut file = File::options().append(true).open(&self.0)?;
            // One call, so that lines of other processes come before or after it.
            file.write_all(format!("{}\n", serde_json::to_string(&line)?).as_bytes())?;
            file.stream_position()
        };
        append()
            .map(|sequence| Acknowledged::new(sequence, at))
            .map_err(|error| PublishError::Unknown(error.into()))
    }
}
