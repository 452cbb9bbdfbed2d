/// What is sent for one frame of the source. A frame that passes as a whole is not copied.
pub(super) struct Output<'f> {
    frame: &'f [u8],
    /// The length of the frame's beginning that passes.
    passed: usize,
    /// What is sent, once that is no longer a beginning of the frame.
    copied: Option<Vec<u8>>,
}

impl<'f> Output<'f> {
    pub(super) const fn new(frame: &'f [u8]) -> Self {
        Self { frame, passed: 0, copied: None }
    }

    /// Returns whether nothing is sent so far.
    pub(super) const fn is_empty(&self) -> bool {
        self.passed == 0 && self.copied.is_none()
    }

    /// Sends bytes that end at this index of the frame. They may have begun in an earlier frame.
    #[inline]
    pub(super) fn pass(&mut self, bytes: &[u8], end: usize) {
        if self.copied.is_none() && end.checked_sub(bytes.len()) == Some(self.passed) {
            self.passed = end;
        } else {
            self.put(bytes);
        }
    }

    /// Sends other bytes.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        let copied = self.copied.get_or_insert_with(|| {
            let mut copied = Vec::with_capacity(self.frame.len() + bytes.len());
            copied.extend_from_slice(self.frame.get(..self.passed).unwrap_or_default());
            copied
        });
        copied.extend_from_slice(bytes);
    }

    /// Returns the length of the frame's beginning that is sent, or what is sent in its place.
    #[inline]
    pub(super) fn finish(self) -> Result<usize, Vec<u8>> {
        self.copied.map_or(Ok(self.passed), Err)
    }
}
