//! Streams cut anywhere.

// Every test uses a part of it.
#![allow(dead_code, unreachable_pub)]

use std::ops::Range;

use proptest::sample::Index;

/// Returns the ranges between the places that `cuts` draws in `len` bytes.
pub fn ranges(len: usize, cuts: &[Index]) -> Vec<Range<usize>> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(len + 1)).collect();
    places.extend([0, len]);
    places.sort_unstable();
    places.windows(2).map(|window| window[0]..window[1]).collect()
}

/// Returns the pieces of `stream` between the places that `cuts` draws.
pub fn cut<'s>(stream: &'s [u8], cuts: &[Index]) -> Vec<&'s [u8]> {
    ranges(stream.len(), cuts).into_iter().map(|range| &stream[range]).collect()
}
