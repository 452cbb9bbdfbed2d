use super::stream_id::StreamId;

/// An entry's id and a fingerprint of its fields.
///
/// The id alone does not identify an entry: Redis can assign it again after it has returned to an
/// older state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: StreamId,
    pub(crate) fingerprint: u64,
}

impl Identity {
    /// The position before all entries.
    pub(crate) const NONE: Self = Self { id: StreamId::ZERO, fingerprint: 0 };
}

/// A hash of fields that is computed one by one.
///
/// It need not resist forgery: a program that can add entries can publish. It takes a fraction of
/// the time of SipHash.
pub(crate) struct Fingerprint(u64);

/// The fractional part of the golden ratio, which has no pattern in its bits.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Default for Fingerprint {
    fn default() -> Self {
        Self(FACTOR)
    }
}

impl Fingerprint {
    /// Returns the fingerprint of an entry with these alternating names and values.
    pub(crate) fn of<T: AsRef<[u8]>>(fields: impl IntoIterator<Item = T>) -> u64 {
        let mut fingerprint = Self::default();
        fields.into_iter().for_each(|field| fingerprint.add(field.as_ref()));
        fingerprint.finish()
    }

    pub(crate) fn add(&mut self, field: &[u8]) {
        let mut words = field.chunks_exact(size_of::<u64>());
        for word in &mut words {
            self.mix(word);
        }
        self.mix(words.remainder());
        // So that the end of a field counts.
        self.mix(&(field.len() as u64).to_le_bytes());
    }

    /// Mixes up to eight bytes into the hash: the halves of a 128-bit product depend on all bits of
    /// both factors.
    fn mix(&mut self, bytes: &[u8]) {
        let mut word = [0; size_of::<u64>()];
        word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let product = u128::from(self.0 ^ u64::from_le_bytes(word)) * u128::from(FACTOR);
        self.0 = (product as u64) ^ ((product >> u64::BITS) as u64);
    }

    pub(crate) const fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Fingerprint;

    #[test]
    fn fields_that_differ_have_other_fingerprints() {
        let mut fingerprints = HashSet::new();
        for length in 0..40 {
            let zeros = vec![0; length];
            assert!(fingerprints.insert(Fingerprint::of([&zeros[..], b"x"])));
            for bit in 0..8 * length {
                let mut field = zeros.clone();
                field[bit / 8] = 1 << (bit % 8);
                let is_new = fingerprints.insert(Fingerprint::of([&field[..], b"x"]));
                assert!(is_new, "bit {bit} of {length}");
            }
        }
        for fields in [&[&b"ab"[..], b"c"][..], &[b"a", b"bc"], &[b"abc"], &[b"abc", b""], &[]] {
            assert!(fingerprints.insert(Fingerprint::of(fields)), "{fields:?}");
        }
        let numbers = (0..100_000_u32).map(|number| number.to_string());
        let distinct: HashSet<_> = numbers.map(|number| Fingerprint::of([number])).collect();
        assert_eq!(distinct.len(), 100_000);
    }
}
