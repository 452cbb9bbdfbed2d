use bytes::BufMut;

/// The id of an event: the prefix of its run and a sequence number.
pub(crate) struct Id<'p> {
    prefix: &'p str,
    sequence: u64,
}

impl<'p> Id<'p> {
    pub(crate) const fn new(prefix: &'p str, sequence: u64) -> Self {
        Self { prefix, sequence }
    }

    /// Returns the length of the id.
    pub(crate) fn len(&self) -> usize {
        let digits = self.sequence.checked_ilog10().map_or(1, |log| log as usize + 1);
        self.prefix.len() + digits
    }

    /// Writes the id as a line.
    #[inline]
    pub(crate) fn write_line(&self, out: &mut impl BufMut) {
        out.put_slice(b"id: ");
        out.put_slice(self.prefix.as_bytes());
        out.put_slice(itoa::Buffer::new().format(self.sequence).as_bytes());
        out.put_slice(b"\n");
    }
}
