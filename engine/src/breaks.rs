//! Ways to break the engine on purpose, so that what is to find such bugs can be seen to find them.
//! They are there with the feature `broken` only, which no build of the daemon has, and off until one
//! is chosen. Without the feature `is` is false at compile time.

/// A way to break a promise of docs/durability.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The journal says that it is synced, and has asked for no sync.
    Sync,
    /// Segments retire before the data that was written from them is on the disk.
    Retire,
    /// Points are written before the names that they use.
    Names,
    /// Points are noted as written when their write begins.
    Record,
    /// A failed sync of the data is made up for by the next.
    Doubt,
    /// A failed journal that is to stop the daemon lets senders go on.
    Stop,
    /// A point that came back is written over a coarser slot that may have it.
    Late,
    /// What of the journal cannot be read goes in silence.
    Unread,
}

#[cfg(feature = "broken")]
mod chosen {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::Break;

    /// Every way and its name; the number chosen counts from 1.
    const WAYS: [(&str, Break); 8] = [
        ("sync", Break::Sync),
        ("retire", Break::Retire),
        ("names", Break::Names),
        ("record", Break::Record),
        ("doubt", Break::Doubt),
        ("stop", Break::Stop),
        ("late", Break::Late),
        ("unread", Break::Unread),
    ];
    static CHOSEN: AtomicUsize = AtomicUsize::new(0);

    /// Breaks the engine in the way of this name from now on; where there is none, says which there
    /// are.
    pub fn choose(name: &str) -> Result<(), String> {
        let Some(index) = WAYS.iter().position(|(known, _)| *known == name) else {
            return Err(WAYS.map(|(known, _)| known).join(", "));
        };
        CHOSEN.store(index + 1, Ordering::Relaxed);
        Ok(())
    }

    /// Is the engine broken in this way?
    #[inline]
    pub fn is(way: Break) -> bool {
        let index = CHOSEN.load(Ordering::Relaxed);
        index
            .checked_sub(1)
            .and_then(|index| WAYS.get(index))
            .is_some_and(|(_, chosen)| *chosen == way)
    }
}

#[cfg(feature = "broken")]
pub use chosen::{choose, is};

/// Is the engine broken in this way? It never is.
#[cfg(not(feature = "broken"))]
#[inline]
pub const fn is(_way: Break) -> bool {
    false
}
