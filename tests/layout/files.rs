//! The sizes of files, whether methods stand in the file of their type, whether names of types are
//! used once in a crate, and how many names of files are used twice.

use std::collections::{BTreeMap, BTreeSet};

use crate::{CRATES, sources};

/// Files of fewer than 40 lines of code, except `mod.rs` and `lib.rs`, and why they are files of
/// their own.
const SMALL: [(&str, &str); 21] = [
    ("src/body/hold.rs", "streams, heads and refusals hold answers"),
    ("src/connection/disconnect.rs", "a public type with a page of its own"),
    ("src/error.rs", "everything imports it"),
    ("src/guide.rs", "only declares pages"),
    ("src/filter/body.rs", "a public type with a page of its own"),
    ("src/sync.rs", "is loom's under loom"),
    ("src/options/max_age.rs", "a public type with a page of its own"),
    ("src/hub/losses.rs", "brokers report them, and subscriptions read them"),
    ("src/hub/subscription/flush_window.rs", "a timer that knows no subscription"),
    ("src/lock.rs", "everything imports it"),
    ("src/page.rs", "needs a feature"),
    ("src/simulation.rs", "exists only in simulations"),
    ("src/sparse.rs", "everything imports it"),
    ("src/stop_on_signal.rs", "needs a feature"),
    ("src/wake.rs", "everything imports it"),
    ("crates/tower-sse-postgres/src/tls.rs", "needs a feature"),
    ("crates/tower-sse-redis/src/runs/cluster/timing.rs", "owners and other processes import it"),
    ("crates/tower-sse-redis/src/runs/store/redis_runs.rs", "a public type with a page of its own"),
    ("crates/tower-sse-redis/src/server/error.rs", "everything imports it"),
    ("crates/tower-sse-redis/src/server/tls.rs", "needs a feature"),
    ("crates/tower-sse-sqlite/src/error.rs", "everything imports it"),
];

/// Methods that stand in another file than their type, and why.
const AWAY: [(&str, &str, &str); 20] = [
    ("EventStream", "src/body/event_stream/opening.rs", "its beginning"),
    ("Event", "src/event/encode.rs", "encoding"),
    ("Event", "src/event/json.rs", "needs a feature"),
    ("Hub", "src/hub/builder.rs", "brokers know the hub"),
    ("Record", "src/runs/record/mirror.rs", "what another process reports"),
    ("Record", "src/runs/record/reader.rs", "reading"),
    ("Runs", "src/runs/builder.rs", "builders know the runs"),
    ("Runs", "src/runs/call/run_layer.rs", "calls know the runs"),
    ("Runs", "src/runs/call/start.rs", "calls know the runs"),
    ("SseLayer", "src/layer/setters.rs", "a setter for each option"),
    ("StartError", "src/runs/answer.rs", "answers know the error"),
    ("Streams", "src/hub/closes.rs", "needs the hub"),
    ("StreamsBuilder", "src/hub/closes.rs", "needs the hub"),
    ("Subscription", "src/hub/subscription/messages.rs", "a stream that has a subscription"),
    ("Subscription", "src/hub/subscription/subscribe.rs", "its start"),
    ("Cluster", "crates/tower-sse-redis/src/runs/cluster/requests.rs", "requests know the cluster"),
    ("Mirrors", "crates/tower-sse-redis/src/runs/cluster/elsewhere/check.rs", "checks, burials"),
    ("Mirrors", "crates/tower-sse-redis/src/runs/cluster/elsewhere/load.rs", "loading"),
    ("Redis", "crates/tower-sse-redis/src/broker/redis_broker.rs", "brokers know the server"),
    ("Redis", "crates/tower-sse-redis/src/runs/store/redis_runs.rs", "stores know the server"),
];

struct File {
    path: String,
    /// The file's lines without comments, blank lines and inline tests.
    code: Vec<String>,
}

fn files(root: &str) -> Vec<File> {
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    let file = |(path, text): (String, String)| File {
        path,
        code: text.lines().filter(is_code).map(str::to_owned).collect(),
    };
    sources(root).into_iter().map(file).collect()
}

#[test]
fn files_have_40_to_500_lines() {
    let mut wrong = Vec::new();
    let mut small: BTreeSet<_> = SMALL.iter().map(|(path, _)| *path).collect();
    let files: Vec<_> = CRATES.into_iter().flat_map(files).collect();
    for File { path, code } in &files {
        let is_door = path.ends_with("/mod.rs") || path.ends_with("/lib.rs");
        let is_listed = small.remove(path.as_str());
        if code.len() > 500 || (code.len() < 40 && !is_door) != is_listed {
            wrong.push(format!("{path} has {} lines", code.len()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(small.is_empty(), "there is no {small:?}");
}

/// Returns the word behind `keyword` if the line begins with `keyword`, apart from an indentation
/// of four spaces and a visibility.
fn named<'l>(line: &'l str, keyword: &str) -> Option<&'l str> {
    let line = line.strip_prefix("    ").unwrap_or(line);
    let line = match line.strip_prefix("pub") {
        Some(rest) => rest.trim_start_matches(|c| c != ' ').trim_start(),
        None => line,
    };
    let name = line.strip_prefix(keyword)?.strip_prefix(' ')?;
    Some(name.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default())
}

fn methods_of(line: &str) -> Option<&str> {
    let line = line.strip_prefix("impl")?;
    if line.contains(" for ") {
        return None;
    }
    let mut depth = 0;
    let generics = line.find(|c| {
        depth += i32::from(c == '<') - i32::from(c == '>');
        depth == 0 && c == ' '
    })?;
    let name = line[generics..].trim_start();
    Some(name.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default())
}

#[test]
fn methods_stand_beside_their_type() {
    let mut away = BTreeSet::new();
    for root in CRATES {
        let files = files(root);
        let mut types: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for File { path, code } in &files {
            for line in code {
                for keyword in ["struct", "enum"] {
                    if let Some(name) = named(line, keyword) {
                        types.entry(name).or_default().insert(path);
                    }
                }
            }
        }
        for File { path, code } in &files {
            for name in code.iter().filter_map(|line| methods_of(line)) {
                if types.get(name).is_some_and(|places| !places.contains(path.as_str())) {
                    away.insert((name.to_owned(), path.clone()));
                }
            }
        }
    }
    let listed = AWAY.iter().map(|(name, path, _)| (str::to_owned(name), str::to_owned(path)));
    let listed = listed.collect();
    assert_eq!(away, listed, "left: what stands away from its type; right: what has a reason");
    assert!(AWAY.len() <= 20);
}

#[test]
fn names_of_files_and_types_are_used_once() {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut twice = Vec::new();
    for root in CRATES {
        let mut types: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for File { path, code } in files(root) {
            let (_, name) = path.rsplit_once('/').unwrap();
            // `sse-check` is a program, whose files are not read with those of the libraries.
            if root != "crates/sse-check/src" {
                *names.entry(name.to_owned()).or_default() += 1;
            }
            for line in &code {
                for name in ["struct", "enum"].iter().filter_map(|keyword| named(line, keyword)) {
                    types.entry(name.to_owned()).or_default().insert(path.clone());
                }
            }
        }
        // Three bodies each have a `Kind` of their own.
        types.retain(|name, files| files.len() > 1 && name != "Kind");
        twice.extend(types);
    }
    assert!(twice.is_empty(), "types with the same name: {twice:?}");
    let shared = names.iter().filter(|(_, count)| **count > 1).count();
    assert!(shared <= 15, "{shared} names of files are used twice");
}
