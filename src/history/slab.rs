/// A list whose entries keep their index until they are removed.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Option<T>>,
    vacant: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) const fn len(&self) -> usize {
        self.entries.len() - self.vacant.len()
    }

    /// Adds an entry and returns its index.
    #[inline]
    pub(crate) fn insert(&mut self, entry: T) -> u32 {
        if let Some(index) = self.vacant.pop() {
            if let Some(slot) = self.entries.get_mut(index as usize) {
                *slot = Some(entry);
            }
            return index;
        }
        self.entries.push(Some(entry));
        // 2^32 clients cannot be connected to one process.
        u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let entry = self.entries.get_mut(index as usize)?.take()?;
        self.vacant.push(index);
        Some(entry)
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.entries.get(index as usize)?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.entries.get_mut(index as usize)?.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().flatten()
    }

    /// Forgets all entries and returns their slots. The caller empties the list of slots.
    #[inline]
    pub(super) fn clear(&mut self) -> &mut Vec<Option<T>> {
        self.vacant.clear();
        &mut self.entries
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), vacant: Vec::new() }
    }
}
