/// The fractional part of the golden ratio, which has no pattern in its bits.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Returns a hash of an entry with these alternating names and values.
///
/// It need not resist forgery: a program that can add entries can publish. It takes a fraction of
/// the time of SipHash.
pub(crate) fn fingerprint<T: AsRef<[u8]>>(fields: impl IntoIterator<Item = T>) -> u64 {
    let mut hash = FACTOR;
    for field in fields {
        let field = field.as_ref();
        let mut words = field.chunks_exact(size_of::<u64>());
        hash = words.by_ref().fold(hash, mix);
        hash = mix(hash, words.remainder());
        // Marks where the field ends: `ab`, `c` must differ from `a`, `bc`.
        hash = mix(hash, &(field.len() as u64).to_le_bytes());
    }
    hash
}

/// Mixes up to eight bytes into a hash: the halves of a 128-bit product depend on all bits of both
/// factors.
fn mix(hash: u64, bytes: &[u8]) -> u64 {
    let mut word = [0; size_of::<u64>()];
    word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    let product = u128::from(hash ^ u64::from_le_bytes(word)) * u128::from(FACTOR);
    (product as u64) ^ ((product >> u64::BITS) as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::fingerprint;

    #[test]
    fn fields_that_differ_have_other_fingerprints() {
        let mut fingerprints = HashSet::new();
        for length in 0..40 {
            let zeros = vec![0; length];
            assert!(fingerprints.insert(fingerprint([&zeros[..], b"x"])));
            for bit in 0..8 * length {
                let mut field = zeros.clone();
                field[bit / 8] = 1 << (bit % 8);
                let is_new = fingerprints.insert(fingerprint([&field[..], b"x"]));
                assert!(is_new, "bit {bit} of {length}");
            }
        }
        for fields in [&[&b"ab"[..], b"c"][..], &[b"a", b"bc"], &[b"abc"], &[b"abc", b""], &[]] {
            assert!(fingerprints.insert(fingerprint(fields)), "{fields:?}");
        }
        let numbers = (0..100_000_u32).map(|number| number.to_string());
        let distinct: HashSet<_> = numbers.map(|number| fingerprint([number])).collect();
        assert_eq!(distinct.len(), 100_000);
    }
}
