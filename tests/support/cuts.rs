//! Streams of arbitrary bytes, and ways to cut them into pieces.

// Each test uses only a part of this file.
#![allow(dead_code, unreachable_pub)]

use std::{iter, ops::Range};

use proptest::sample::{Index, select};
use proptest::{collection::vec, prelude::*};

pub fn ranges(len: usize, cuts: &[Index]) -> Vec<Range<usize>> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(len + 1)).collect();
    places.extend([0, len]);
    places.sort_unstable();
    places.windows(2).map(|window| window[0]..window[1]).collect()
}

pub fn cut<'s>(stream: &'s [u8], cuts: &[Index]) -> Vec<&'s [u8]> {
    ranges(stream.len(), cuts).into_iter().map(|range| &stream[range]).collect()
}

/// Returns ways to cut `stream`: into single bytes, and into three pieces at each pair of
/// positions.
pub fn cuttings(stream: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let len = stream.len();
    let twice = (0..=len).flat_map(move |first| (first..=len).map(move |second| (first, second)));
    let pieces = twice.map(move |(first, second)| {
        vec![&stream[..first], &stream[first..second], &stream[second..]]
    });
    iter::once(stream.chunks(1).collect()).chain(pieces)
}

pub fn special_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => select(vec![&b"\n"[..], b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n"]),
        5 => select(vec![&b"data: x"[..], b"data:", b"data", b"id: 7", b"id", b"event: e"]),
        3 => select(vec![&b"retry: 5"[..], b"retry", b"ret", b"ry", b": c", b":", b" ", b"x", b"\0"]),
        1 => select(vec![&b"\xef\xbb\xbf"[..], b"\xef", b"\xbb", b"\xef\xbb", b"\xc3"]),
    ]
    .prop_map(<[u8]>::to_vec);
    let piece = prop_oneof![12 => piece, 1 => any::<u8>().prop_map(|byte| vec![byte])];
    let start = select(vec![&b""[..], b"", b"\xef\xbb\xbf", b"\xef\xbb", b"\xef"]);
    (start, vec(piece, 0..24)).prop_map(|(start, pieces)| [start, &pieces.concat()].concat())
}
