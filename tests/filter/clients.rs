//! Each client of `CLIENTS` reads the same from a filtered stream as from a stream that was changed
//! by hand. The line ends and the cuts of the stream make no difference.

use proptest::{collection::vec, prelude::*, sample::Index};

use crate::support::{naive_clients::CLIENTS, *};
use crate::{naive_filter::ADDED, *};

type Line = (String, &'static str);

/// An event, or a comment between events, which may have no empty line.
#[derive(Clone, Debug)]
struct Block {
    lines: Vec<Line>,
    empty_line: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Pass,
    Drop,
    Insert,
    Replace,
    CopyAndAdd,
    Data(&'static str),
    /// The stream ends with the event, whose data is changed.
    End,
}

const CHANGES: [Change; 8] = [
    Change::Pass,
    Change::Drop,
    Change::Insert,
    Change::Replace,
    Change::CopyAndAdd,
    Change::Data("one"),
    Change::Data("one\ntwo"),
    Change::End,
];

struct Changes<'c> {
    changes: std::slice::Iter<'c, Change>,
    adds_at_end: bool,
}

impl EventFilter for Changes<'_> {
    fn event(&mut self, event: EventRef<'_>) -> Verdict {
        match self.changes.next().copied().unwrap_or(Change::Pass) {
            Change::Pass => Verdict::Pass,
            Change::Drop => Verdict::Drop,
            Change::Insert => Verdict::Insert(added()),
            Change::Replace => Verdict::Replace(added()),
            Change::CopyAndAdd => {
                Verdict::Replace([event.to_encoded(), added()].into_iter().collect())
            }
            Change::Data(data) => Verdict::Replace(event.with_data(data)),
            Change::End => Verdict::End(event.with_data("last")),
        }
    }

    fn source_end(&mut self, _: SourceEnd<'_>) -> Verdict {
        if self.adds_at_end { Verdict::Insert(added()) } else { Verdict::Pass }
    }
}

fn filtered(chunks: &[&[u8]], changes: &[Change], adds_at_end: bool) -> String {
    let (feed, source) = Feed::new();
    chunks.iter().for_each(|chunk| feed.data(Bytes::copy_from_slice(chunk)));
    feed.end();
    let filter = Changes { changes: changes.iter(), adds_at_end };
    let (frames, error) = read(&mut FilterBody::new(source, filter));
    assert_eq!(error, None);
    String::from_utf8(frames.concat()).unwrap()
}

fn text(block: &Block) -> String {
    let text: String = block.lines.iter().map(|(line, end)| format!("{line}{end}")).collect();
    // Behind a CR, a single LF would complete a CRLF instead of being an empty line.
    let is_joined = text.ends_with('\r') && block.empty_line == "\n";
    text + if is_joined { "\r\n" } else { block.empty_line }
}

fn is_comment(block: &Block) -> bool {
    block.lines[0].0.starts_with(':')
}

fn is_data(line: &str) -> bool {
    line == "data" || line.starts_with("data:")
}

/// Changes the data of an event by hand. The new lines get the line end of the first old data line,
/// or of the event's last line if the event has no data.
fn with_data(block: &Block, data: &str) -> Block {
    let first = block.lines.iter().position(|(line, _)| is_data(line));
    let (at, end) = match first {
        Some(at) => (at, block.lines[at].1),
        None => (block.lines.len(), block.lines.last().unwrap().1),
    };
    let mut lines = block.lines[..at].to_vec();
    lines.extend(data.split('\n').map(|line| (format!("data: {line}"), end)));
    lines.extend(block.lines[at..].iter().filter(|(line, _)| !is_data(line)).cloned());
    Block { lines, empty_line: block.empty_line }
}

fn by_hand(blocks: &[Block], changes: &[Change], adds_at_end: bool) -> String {
    let mut stream = String::new();
    let mut changes = changes.iter();
    for block in blocks {
        if is_comment(block) {
            // The next event's block begins with the comment.
            stream += &text(&Block { empty_line: "", ..block.clone() });
            continue;
        }
        let change = changes.next().copied().unwrap_or(Change::Pass);
        stream += &match change {
            Change::Pass => text(block),
            Change::Drop => String::new(),
            Change::Insert => ADDED.to_owned() + &text(block),
            Change::Replace => ADDED.to_owned(),
            Change::CopyAndAdd => text(block) + ADDED,
            Change::Data(data) => text(&with_data(block, data)),
            Change::End => return stream + &text(&with_data(block, "last")),
        };
    }
    if adds_at_end { stream + ADDED } else { stream }
}

#[track_caller]
fn assert_read_alike(chunks: &[&[u8]], blocks: &[Block], changes: &[Change], adds_at_end: bool) {
    let sent = filtered(chunks, changes, adds_at_end);
    let expected = by_hand(blocks, changes, adds_at_end);
    for (name, read) in CLIENTS {
        assert_eq!(read(&sent), read(&expected), "{name}: {sent:?} of {chunks:?}, {changes:?}");
    }
}

/// A source may break off between a CR and its LF.
#[test]
fn events_at_the_end_follow_a_last_cr_as_whole_ones() {
    for (stream, whole) in [
        ("data: a\r\n\r", "data: a\r\n\r\n"),
        ("data: a\r\r", "data: a\r\r"),
        ("data: a\r\n\r\n: c\r", "data: a\r\n\r\n: c\r\n"),
    ] {
        for chunks in [vec![stream.as_bytes()], stream.as_bytes().chunks(1).collect()] {
            let sent = filtered(&chunks, &[], true);
            for (name, read) in CLIENTS {
                assert_eq!(read(&sent), read(&(whole.to_owned() + ADDED)), "{name}: {sent:?}");
            }
        }
    }
}

/// What servers send to keep a stream open, or to set the reconnection time, is a block without an
/// event. Some clients take such a block for an event once they have seen an id.
#[test]
fn blocks_without_an_event_are_no_events_for_any_client() {
    for block in [":\n\n", ": OPENROUTER PROCESSING\n\n", ":\r\n\r\n", "retry: 1000\n\n", "\n"] {
        let stream = format!("{block}id: 1\ndata: a\n\n{block}{block}data: b\n\n{block}");
        for chunks in [vec![stream.as_bytes()], stream.as_bytes().chunks(1).collect()] {
            let sent = filtered(&chunks, &[], false) + ADDED;
            for (name, read) in CLIENTS {
                let data: Vec<_> = read(&sent).into_iter().map(|(_, data)| data).collect();
                let (_, added) = ADDED.trim_end().split_once("data: ").unwrap();
                let is_time_alone = name == "at empty lines" && block.starts_with("retry");
                // Two reconnection times stay in blocks of their own.
                let expected =
                    if is_time_alone { vec!["a", "", "b", added] } else { vec!["a", "b", added] };
                assert_eq!(data, expected, "{name}: {sent:?}");
            }
        }
    }
}

const ENDS: [&str; 3] = ["\n", "\r\n", "\r"];

fn line_end() -> BoxedStrategy<[&'static str; 5]> {
    let same = select(&ENDS[..]).prop_map(|end| [end; 5]);
    prop_oneof![2 => same, 1 => [(); 5].map(|()| select(&ENDS[..]))].boxed()
}

fn blocks() -> impl Strategy<Value = Vec<Block>> {
    let lines = select(vec![
        &["data: a"][..],
        &["data:b"],
        &["data"],
        &["id: 7", "data: c"],
        &["data: d", ": note", "data: e", "event: e"],
        &["event: e", "data: f", "x: 1"],
        &[": comment"],
        &[": comment, then an empty line"],
        &[": two lines", ": and an empty line"],
        &["id: 8"],
    ]);
    // Most blocks of a stream have the same line ends.
    (line_end(), vec((lines, line_end(), prop::bool::weighted(0.2)), 1..6)).prop_map(
        |(of_stream, blocks)| {
            let block = |(lines, own, is_own): (&[&str], [&'static str; 5], bool)| {
                let ends = if is_own { own } else { of_stream };
                let has_none = lines[0] == ": comment";
                // A lone CR as the empty line, behind an LF, would be taken for half of a CRLF.
                let is_half = ends[4] == "\r" && ends[lines.len() - 1] != "\r";
                let empty_line = if is_half { "\r\n" } else { ends[4] };
                let lines = lines.iter().zip(ends).map(|(line, end)| ((*line).to_owned(), end));
                Block { lines: lines.collect(), empty_line: if has_none { "" } else { empty_line } }
            };
            blocks.into_iter().map(block).collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn clients_read_a_filtered_stream_like_one_changed_by_hand(
        blocks in blocks(),
        changes in vec(select(&CHANGES[..]), 0..6),
        adds_at_end in any::<bool>(),
        cuts in vec(any::<Index>(), 0..8),
    ) {
        let stream: String = blocks.iter().map(text).collect();
        assert_read_alike(&cut(stream.as_bytes(), &cuts), &blocks, &changes, adds_at_end);
        let bytes: Vec<_> = stream.as_bytes().chunks(1).collect();
        assert_read_alike(&bytes, &blocks, &changes, adds_at_end);
    }
}
