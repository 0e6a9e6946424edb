//! Pages of equal units, addressed by a number that stays valid until the unit is removed.
//! Growing never copies what is there, and a page without units is given back to the allocator.
//! Invariants: a number names a live unit or none at all (using a removed one panics); new units
//! go to the lowest page with room, so that pages at the end run empty.

use std::collections::BTreeSet;
use std::ops::{Index, IndexMut};

/// Units in a page. With units of 64 bytes a page is 32 KiB: few allocations, little slack.
const PAGE_UNITS: usize = 512;
const WORDS: usize = PAGE_UNITS / 64;

/// What of a page is in use.
#[derive(Clone, Copy, Debug, Default)]
struct Book {
    used: [u64; WORDS],
    live: u32,
}

/// A growing array with holes.
#[derive(Debug, Default)]
pub(crate) struct Slab<T> {
    /// Empty where the page is not held.
    pages: Vec<Box<[T]>>,
    books: Vec<Book>,
    /// Pages with room, held or not.
    open: BTreeSet<u32>,
    /// One empty page kept, so that the last unit coming and going does not allocate each time.
    spare: Option<Box<[T]>>,
    live: usize,
    held_pages: usize,
}

impl<T: Copy + Default> Slab<T> {
    /// Puts `value` into a free unit and says which.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let page = match self.open.first() {
            Some(page) => *page,
            None => self.add_page(),
        };
        let index = page as usize;
        if self.books[index].live == 0 {
            self.held_pages += usize::from(self.spare.is_none());
            self.pages[index] = self
                .spare
                .take()
                .unwrap_or_else(|| vec![T::default(); PAGE_UNITS].into_boxed_slice());
        }
        let book = &mut self.books[index];
        let Some(word) = book.used.iter().position(|bits| *bits != u64::MAX) else {
            unreachable!("page {page} is listed as open and is full");
        };
        let bit = book.used[word].trailing_ones() as usize;
        book.used[word] |= 1 << bit;
        book.live += 1;
        if book.live as usize == PAGE_UNITS {
            self.open.remove(&page);
        }
        self.live += 1;
        let unit = word * 64 + bit;
        self.pages[index][unit] = value;
        number(index * PAGE_UNITS + unit)
    }

    /// Frees a unit and returns what it held.
    pub(crate) fn remove(&mut self, id: u32) -> T {
        assert!(self.contains(id), "unit {id} is removed twice");
        let value = self[id];
        let (page, unit) = (id as usize / PAGE_UNITS, id as usize % PAGE_UNITS);
        let book = &mut self.books[page];
        if book.live as usize == PAGE_UNITS {
            self.open.insert(number(page));
        }
        book.used[unit / 64] &= !(1 << (unit % 64));
        book.live -= 1;
        self.live -= 1;
        if book.live == 0 {
            let emptied = std::mem::take(&mut self.pages[page]);
            if self.spare.is_none() {
                self.spare = Some(emptied);
            } else {
                self.held_pages -= 1;
            }
            self.drop_last_pages();
        }
        value
    }

    /// Is `id` a live unit?
    pub(crate) fn contains(&self, id: u32) -> bool {
        let (page, unit) = (id as usize / PAGE_UNITS, id as usize % PAGE_UNITS);
        self.books
            .get(page)
            .is_some_and(|book| book.used[unit / 64] & (1 << (unit % 64)) != 0)
    }

    /// What is at a number, live or not; nothing where its page is not held.
    #[inline]
    pub(crate) fn peek(&self, id: u32) -> Option<&T> {
        self.pages
            .get(id as usize / PAGE_UNITS)?
            .get(id as usize % PAGE_UNITS)
    }

    /// All numbers are below this, live or not.
    pub(crate) fn numbers(&self) -> u32 {
        number(self.pages.len() * PAGE_UNITS)
    }

    /// Live units.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Bytes of all pages held, free units included, and of the lists that lead to them.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_pages * PAGE_UNITS * size_of::<T>() + self.list_bytes()
    }

    /// Bytes of the live units and of the lists that lead to them.
    pub(crate) fn used_bytes(&self) -> usize {
        self.live * size_of::<T>() + self.list_bytes()
    }

    fn list_bytes(&self) -> usize {
        self.pages.capacity() * size_of::<Box<[T]>>() + self.books.capacity() * size_of::<Book>()
    }

    fn add_page(&mut self) -> u32 {
        let page = number(self.pages.len());
        // The last number is never given out: it stands for "none" in the lists of those who use it.
        assert!(
            self.pages.len() + 1 < u32::MAX as usize / PAGE_UNITS,
            "more than 4 billion units"
        );
        self.pages.push(Box::default());
        self.books.push(Book::default());
        self.open.insert(page);
        page
    }

    fn drop_last_pages(&mut self) {
        while self.books.last().is_some_and(|book| book.live == 0) {
            self.books.pop();
            self.pages.pop();
            self.open.remove(&number(self.pages.len()));
        }
        if self.pages.len() < self.pages.capacity() / 4 {
            self.pages.shrink_to(self.pages.len() * 2);
            self.books.shrink_to(self.books.len() * 2);
        }
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, id: u32) -> &T {
        &self.pages[id as usize / PAGE_UNITS][id as usize % PAGE_UNITS]
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, id: u32) -> &mut T {
        &mut self.pages[id as usize / PAGE_UNITS][id as usize % PAGE_UNITS]
    }
}

/// A count or index as the 32 bits in which it is stored; nothing that is numbered here is there
/// more than 4 billion times.
pub(crate) fn number(index: usize) -> u32 {
    let Ok(number) = u32::try_from(index) else {
        unreachable!("{index} does not fit in 32 bits");
    };
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_valid_and_pages_go_back() {
        let mut slab = Slab::default();
        let count = 5 * number(PAGE_UNITS) + 7;
        let ids: Vec<u32> = (0..count).map(|value| slab.insert(value)).collect();
        assert!((0..count).all(|value| slab[ids[value as usize]] == value));
        assert_eq!((slab.len(), slab.held_pages), (count as usize, 6));
        for id in &ids[PAGE_UNITS..] {
            slab.remove(*id);
        }
        assert_eq!((slab.len(), slab.held_pages), (PAGE_UNITS, 2));
        assert_eq!(slab.pages.len(), 1);
        assert!(!slab.contains(ids[PAGE_UNITS]) && slab.contains(ids[PAGE_UNITS - 1]));
        for id in &ids[..PAGE_UNITS] {
            slab.remove(*id);
        }
        assert_eq!((slab.len(), slab.held_pages), (0, 1));
    }

    #[test]
    fn a_freed_unit_is_used_before_a_later_page() {
        let mut slab = Slab::default();
        let ids: Vec<u32> = (0..3 * PAGE_UNITS).map(|_| slab.insert(1u64)).collect();
        slab.remove(ids[70]);
        slab.remove(ids[2 * PAGE_UNITS]);
        assert_eq!(slab.insert(2), ids[70]);
        assert_eq!(slab.insert(3), ids[2 * PAGE_UNITS]);
        assert_eq!(slab.used_bytes() - slab.list_bytes(), 3 * PAGE_UNITS * 8);
    }

    #[test]
    #[should_panic(expected = "removed twice")]
    fn removing_twice_is_a_bug() {
        let mut slab = Slab::default();
        let id = slab.insert(1u8);
        slab.insert(2);
        slab.remove(id);
        slab.remove(id);
    }
}
