use std::{slice, time::Duration};

use tower_sse::hub::{Hub, PublishError};
use tower_sse::{Event, Retention};

use super::super::{Problem, World};
use crate::testing::hub_process::{HubProcess, lines_of, lines_without_broker};
use crate::testing::world::ensure;

/// The size in bytes above which brokers may refuse events.
const LARGE: usize = 64 << 10;

/// A broker that stores an event in its own format can forget a field or change line endings.
pub(crate) async fn every_field_arrives<W: World>(world: &W) -> Result<(), Problem> {
    let events = [
        Event::new().data("plain"),
        Event::new().data(""),
        Event::new().data(" leading and trailing \t"),
        Event::new().data("one\ntwo\r\nthree\rfour\n"),
        Event::new().data("\n\n"),
        Event::new().data("Größe 漢字 🦀 \u{feff}"),
        Event::new().data("named").event("tick"),
        Event::new().data("named as clients name it").event("message"),
        Event::new().data("named with spaces").event(" Größe "),
        Event::new().data("retry").retry(Duration::from_millis(1500)),
        Event::new().data("retry at once").retry(Duration::ZERO),
        Event::new().data("comment").comment(" One\ntwo: é "),
        Event::new().data("empty comment").comment(""),
        Event::new().data("all").event("a b").retry(Duration::from_secs(3)).comment("c"),
    ];
    let (a, b, start) = HubProcess::pair(world).await?;
    for (index, event) in events.iter().enumerate() {
        a.publish("news", event.clone()).await?;
        a.end(&format!("job {index}"), event.clone()).await?;
    }
    // The gap that a program reports has the topic in its data.
    a.gap("news").await?;
    let late = HubProcess::connect(world, "late").await?;
    let mut expected = lines_without_broker("news", &events).await?;
    expected.push("event: gap\ndata: {\"topic\":\"news\",\"reason\":\"reported\"}\n\n".to_owned());
    for (name, process) in [("a", a), ("b", b), ("late", late)] {
        let subscription = process.hub.subscribe_to("news").resume(start.clone());
        let received = lines_of(subscription, expected.len()).await?;
        for (index, expected) in expected.iter().enumerate() {
            let received = received.get(index).map_or("", String::as_str);
            ensure!(received == expected, "process {name}: {received:?} instead of {expected:?}");
            if index == events.len() {
                break;
            }
            let topic = format!("job {index}");
            let job = process.hub.subscribe_to(topic).resume(start.clone());
            let last = lines_of(job, 2).await?;
            ensure!(last == [&**expected], "process {name}: the end {last:?}, not {expected:?}");
        }
    }
    Ok(())
}

/// The program's text ends up in the broker's queries, keys and formats.
pub(crate) async fn names_and_data_cannot_inject<W: World>(world: &W) -> Result<(), Problem> {
    const TEXTS: [&str; 17] = [
        "",
        " ",
        "a b",
        "line\nfeed",
        "\r\n$3\r\nDEL\r\n",
        "quote\"quote'quote`",
        "'; DROP TABLE events; --",
        "back\\slash\\n",
        "\u{0}",
        "a\u{0}b",
        "*",
        "{a}.b:c/d?e=f&g",
        "%s%n$1",
        "id: 1\n\ndata: forged",
        "漢字🦀",
        // A database that normalizes text treats these two as equal.
        "\u{e9}",
        "e\u{301}",
    ];
    let (a, b, start) = HubProcess::pair(world).await?;
    let mut accepted = Vec::new();
    for text in TEXTS {
        if accepts(&a, text, text).await? {
            accepted.push(text);
        }
    }
    let late = HubProcess::connect(world, "late").await?;
    // Clients decode `\r\n` as `\n`.
    let decoded = |text: &&str| text.replace("\r\n", "\n");
    for process in [a, b, late] {
        // One stream with all topics, then one for each topic.
        process.client(TEXTS, start.clone()).reads(accepted.iter().map(decoded)).await?;
        for text in &accepted {
            process.client([text], start.clone()).reads([decoded(text)]).await?;
        }
    }
    Ok(())
}

/// Columns, keys and indexes have limits. Above a limit, a server can silently cut or change a
/// value.
pub(crate) async fn extremes_are_kept_or_refused<W: World>(world: &W) -> Result<(), Problem> {
    const RETRIES: [u64; 4] = [1 << 31, (1 << 32) + 1500, (1 << 53) + 1, u64::MAX];
    let (a, b, start) = HubProcess::pair(world).await?;
    let (mut topics, mut whats, mut events) = (Vec::new(), Vec::new(), Vec::new());
    for name in long_names() {
        if accepts(&a, &name, "long topic").await? {
            topics.push(name.clone());
        }
        let bytes = name.len();
        let commented = Event::new().data("commented").comment(&name);
        let named = Event::new().data("named").try_event(name);
        let named = named.map_err(|error| Problem::caused_by("a name", &error))?;
        for (what, event) in [("comment", commented), ("name", named)] {
            if accepts(&a, "news", event.clone()).await? {
                whats.push(format!("a {what} of {bytes} bytes"));
                events.push(event);
            }
        }
    }
    for retry in RETRIES {
        let event = Event::new().data("later").retry(Duration::from_millis(retry));
        if accepts(&a, "news", event.clone()).await? {
            whats.push(format!("a retry of {retry} ms"));
            events.push(event);
        }
    }
    let late = HubProcess::connect(world, "late").await?;
    let expected = lines_without_broker("news", &events).await?;
    for (name, process) in [("a", a), ("b", b), ("late", late)] {
        let subscription = process.hub.subscribe_to("news").resume(start.clone());
        let received = lines_of(subscription, events.len()).await?;
        for (index, (what, expected)) in whats.iter().zip(&expected).enumerate() {
            ensure!(received.get(index) == Some(expected), "process {name}: {what} was changed");
        }
        for topic in &topics {
            let mut client = process.client(slice::from_ref(topic), start.clone());
            let read = client.reads(["long topic"]).await;
            let what = format_args!("a topic of {} bytes", topic.len());
            read.map_err(|problem| Problem::caused_by(what, &problem))?;
        }
    }
    Ok(())
}

/// Returns two names of each length that differ only at the end.
fn long_names() -> impl Iterator<Item = String> {
    let names = |length| ["a", "b"].map(|end| "n".repeat(length - end.len()) + end);
    [64, 128, 256, 512, 1024, 4096].into_iter().flat_map(names)
}

/// Publishes an event that the broker may refuse. Returns whether it was accepted.
async fn accepts(
    process: &HubProcess,
    topic: &str,
    event: impl Into<Event>,
) -> Result<bool, Problem> {
    match process.try_publish(topic, event).await? {
        Ok(_) => Ok(true),
        Err(PublishError::Invalid(_) | PublishError::TooLarge(_) | PublishError::Refused(_)) => {
            Ok(false)
        }
        Err(error) => {
            let topic: String = topic.chars().take(20).collect();
            Err(Problem::caused_by(format_args!("publishing to {topic:?}"), &error))
        }
    }
}

pub(crate) async fn large_events_arrive<W: World>(world: &W) -> Result<(), Problem> {
    let ample = || Hub::builder().retention(Retention::new().bytes(16 << 20));
    let (a, b, start) = HubProcess::pair_with(ample, world).await?;
    let sizes = [1 << 10, LARGE - 1, LARGE, 4 * LARGE, 16 * LARGE];
    let ascii = sizes.map(|size| format!("{size} ").chars().cycle().take(size).collect());
    // If the text of many `漢` is split into chunks, most chunks end within a character.
    let others = ["漢".repeat(50_000), "small".to_owned()];
    let mut expected = Vec::new();
    for data in ascii.into_iter().chain(others) {
        let is_accepted = accepts(&a, "news", data.clone()).await?;
        ensure!(is_accepted || data.len() > LARGE, "{} bytes were refused", data.len());
        expected.extend(is_accepted.then_some(data));
    }
    for (index, data) in expected.iter().enumerate() {
        a.end(&format!("job {index}"), data.clone()).await?;
    }
    let late = HubProcess::connect_with(ample(), world, "late").await?;
    for process in [a, b, late] {
        process.client(["news"], start.clone()).reads(&expected).await?;
        for (index, data) in expected.iter().enumerate() {
            let mut client = process.client([format!("job {index}")], start.clone());
            client.reads([data]).await?;
            client.ends().await?;
        }
    }
    Ok(())
}

/// A broker that stores simultaneous events in one batch can mix up their fields.
pub(crate) async fn events_at_once_stay_apart<W: World>(world: &W) -> Result<(), Problem> {
    let (a, b, start) = HubProcess::pair(world).await?;
    let event = |index: u64| {
        let event = Event::new().data(index.to_string());
        let event = if index.is_multiple_of(2) { event } else { event.event("odd") };
        let event = if index.is_multiple_of(3) { event } else { event.comment(index.to_string()) };
        if index % 4 > 1 { event } else { event.retry(Duration::from_secs(index)) }
    };
    let mut events: Vec<_> = (0..12).map(event).collect();
    let job = |index| format!("job {index}");
    let ends_topic = |index| index % 3 == 1;
    let at_once = events.iter().zip(0..);
    let at_once = at_once.map(|(event, at)| (job(at), job(at), event.clone(), ends_topic(at)));
    for (topic, result) in a.at_once(at_once.collect()).await? {
        result.map_err(|error| Problem::caused_by(topic, &error))?;
    }
    for index in (0..events.len()).filter(|index| !ends_topic(*index)) {
        a.publish(&job(index), "more").await?;
    }
    events.push("more".into());
    let mut expected = lines_without_broker("news", &events).await?;
    let more = expected.pop().unwrap_or_default();
    let late = HubProcess::connect(world, "late").await?;
    for (name, process) in [("a", a), ("b", b), ("late", late)] {
        for (index, expected) in expected.iter().enumerate() {
            let subscription = process.hub.subscribe_to(job(index)).resume(start.clone());
            let received = lines_of(subscription, 2).await?;
            let mut expected = vec![&**expected];
            expected.extend((!ends_topic(index)).then_some(&*more));
            ensure!(received == expected, "process {name}: {received:?} instead of {expected:?}");
        }
    }
    Ok(())
}
